"""The peer of the part trees: the libraries' own predict.

    python trees.py DIRECTORY

Trains models and saves each as MLflow does, with the rows to predict as little-endian
singles in DIRECTORY/rows. Then for each line with a model's name on the standard input it
predicts the rows in each way that the library has, for a while each, and prints the seconds
of one call in the fastest way: the median of its calls."""

import pathlib
import statistics
import sys
import time

import lightgbm as lgb
import mlflow
import numpy as np
import xgboost as xgb
from mlflow.models import infer_signature

OUT = pathlib.Path(sys.argv[1])
ROWS, FEATURES = 1000, 30
rng = np.random.default_rng(1)
X = rng.normal(size=(5000, FEATURES)).astype(np.float32)
y = (X @ rng.normal(size=FEATURES) + 3 * rng.normal(size=len(X)) > 0).astype(int)
singles = X[:ROWS].copy()
doubles = singles.astype(np.float64)
(OUT / "rows").write_bytes(singles.astype("<f4").tobytes())


def seconds(call, prepare=lambda: None):
    """The median time of one call; what it prepares is not counted."""
    times, end = [], time.perf_counter() + 0.4
    while time.perf_counter() < end or len(times) < 5:
        arg = prepare()
        start = time.perf_counter()
        call(arg)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def matrix():
    return xgb.DMatrix(singles, nthread=1)  # a new one each time: predictions of an old one are kept


models = {}
for trees in (100, 500):
    b = xgb.train({"objective": "binary:logistic", "max_depth": 6, "nthread": 1}, xgb.DMatrix(X, y), trees)
    b.set_param("nthread", 1)
    mlflow.xgboost.save_model(b, str(OUT / f"xgboost_{trees}"), signature=infer_signature(singles, b.inplace_predict(singles)), pip_requirements=[])
    models[f"xgboost_{trees}"] = [(b.inplace_predict, lambda: singles), (b.predict, matrix), (lambda _, b=b: b.predict(matrix()), lambda: None)]
    m = lgb.train({"objective": "binary", "num_leaves": 31, "num_threads": 1, "verbose": -1}, lgb.Dataset(X, y), trees)
    mlflow.lightgbm.save_model(m, str(OUT / f"lightgbm_{trees}"), signature=infer_signature(singles, m.predict(singles)), pip_requirements=[])
    models[f"lightgbm_{trees}"] = [(lambda x, m=m: m.predict(x, num_threads=1), lambda: singles), (lambda x, m=m: m.predict(x, num_threads=1), lambda: doubles)]

print("ready", flush=True)
for line in sys.stdin:
    print(min(seconds(*way) for way in models[line.strip()]), flush=True)
