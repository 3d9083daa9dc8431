"""Trains or loads one model and saves it for both sides: argv[2]/model by MLflow and, with the
ports argv[3] to argv[5], argv[2]/mlserver as MLServer wants it. argv[1] is its kind."""

import json
import sys
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer

kind, out, ports = sys.argv[1], Path(sys.argv[2]), [int(p) for p in sys.argv[3:6]]
X, y = load_breast_cancer(return_X_y=True)
peer = out / "mlserver"
peer.mkdir(parents=True)
requirements = Path("python/requirements-test.txt").read_text().splitlines()


def pins(*names):
    return [r for r in requirements if r.split("==")[0] in (*names, "numpy", "scipy", "pandas")]


settings = {"name": "bench"}
if kind == "sklearn":
    import joblib
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    mlflow.sklearn.save_model(model, str(out / "model"), signature=infer_signature(X, model.predict(X)), pip_requirements=pins("scikit-learn", "skops"))
    joblib.dump(model, peer / "model.joblib")
    settings |= {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}, "max_batch_size": 64, "max_batch_time": 0.005}
elif kind == "xgboost":
    import xgboost as xgb

    model = xgb.train({"objective": "binary:logistic", "max_depth": 6, "base_score": 0.5}, xgb.DMatrix(X, y), 100)
    answers = model.predict(xgb.DMatrix(X)).astype(np.float32)
    mlflow.xgboost.save_model(model, str(out / "model"), signature=infer_signature(X, answers), pip_requirements=pins("xgboost-cpu"))
    model.save_model(peer / "model.ubj")
    settings |= {"implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": "./model.ubj"}}
else:
    import lightgbm as lgb

    model = lgb.train({"objective": "binary", "num_leaves": 31, "verbose": -1}, lgb.Dataset(X, y), 100)
    mlflow.lightgbm.save_model(model, str(out / "model"), signature=infer_signature(X, model.predict(X)), pip_requirements=pins("lightgbm"))
    model.save_model(peer / "model.txt")
    settings |= {"implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": "./model.txt"}}
(peer / "model-settings.json").write_text(json.dumps(settings))
(peer / "settings.json").write_text(json.dumps({
    "host": "127.0.0.1",
    "http_port": ports[0],
    "grpc_port": ports[1],
    "metrics_port": ports[2],
    "parallel_workers": 0,
    "debug": False,
}))
