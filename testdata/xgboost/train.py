"""Train the parity models of internal/tree with the real XGBoost library.

Run it once in an environment of every version that requirements.txt names:

    python testdata/xgboost/train.py

It writes models/vNN_CASE.{json,ubj}, as the library saves them, and beside each model
vNN_CASE.expect.json: what the library itself answers for the rows of
inputs/DATASET.json. Rows 60 and later of those have missing values (null). Numbers are
the shortest decimals that give back the same float32.

All data are scikit-learn's bundled sets; every random choice is seeded.
"""

import json
import pathlib

import numpy as np
import xgboost as xgb
from sklearn import datasets

HERE = pathlib.Path(__file__).parent
ROWS = 100
VERSION = "v" + "".join(xgb.__version__.split(".")[:2])


def load(name):
    """Features as float32, target as float64, and the rows that the tests predict."""
    x, y = getattr(datasets, "load_" + name)(return_X_y=True)
    x = x.astype(np.float32)
    rng = np.random.default_rng(7)
    rows = x[rng.permutation(len(x))[:ROWS]].copy()
    holes = rng.random(rows.shape) < 0.15
    holes[:60] = False
    rows[holes] = np.nan
    return x, y.astype(np.float64), rows


def with_holes(x):
    """A copy of x that lacks every tenth value or so."""
    x = x.copy()
    x[np.random.default_rng(3).random(x.shape) < 0.1] = np.nan
    return x


def numbers(a):
    """Nested lists of shortest float32 decimals; None for a missing value."""
    a = np.asarray(a)
    if a.ndim:
        return [numbers(e) for e in a]
    return None if np.isnan(a) else float(str(np.float32(a)))


# Name, data set, class, options, rounds, format. Options that start with an underscore are ours:
# _missing trains on data with holes, _target maps the target, _rows cuts the data,
# _group makes query groups, _bounds gives survival intervals, _stop asks for early stopping.
CASES = [
    ("sq_d1", "diabetes", "Booster", dict(objective="reg:squarederror", max_depth=1), 40, "json"),
    ("sq_d3_missing", "diabetes", "Booster", dict(objective="reg:squarederror", max_depth=3, _missing=1), 20, "ubj"),
    ("sq_base", "diabetes", "Booster", dict(objective="reg:squarederror", max_depth=4, base_score=150.0), 5, "ubj"),
    ("sq_pruned", "diabetes", "Booster", dict(objective="reg:squarederror", max_depth=5, tree_method="exact", gamma=20000.0), 6, "json"),
    ("sq_lossguide", "diabetes", "Booster", dict(objective="reg:squarederror", tree_method="hist", grow_policy="lossguide", max_leaves=24, max_depth=0), 4, "ubj"),
    ("pseudohuber", "diabetes", "Booster", dict(objective="reg:pseudohubererror", max_depth=3), 10, "ubj"),
    ("squaredlog", "diabetes", "Booster", dict(objective="reg:squaredlogerror", max_depth=3), 10, "json"),
    ("absolute", "diabetes", "Booster", dict(objective="reg:absoluteerror", max_depth=4), 10, "ubj"),
    ("gamma", "diabetes", "Booster", dict(objective="reg:gamma", max_depth=3), 20, "ubj"),
    ("tweedie", "diabetes", "Booster", dict(objective="reg:tweedie", tweedie_variance_power=1.3, max_depth=3), 20, "json"),
    ("poisson", "diabetes", "Booster", dict(objective="count:poisson", max_depth=3, base_score=2.5, _missing=1), 20, "ubj"),
    ("quantile", "diabetes", "Booster", dict(objective="reg:quantileerror", quantile_alpha=0.8, max_depth=3, tree_method="hist"), 15, "ubj"),
    ("cox", "diabetes", "Booster", dict(objective="survival:cox", max_depth=2), 10, "json"),
    ("aft", "diabetes", "Booster", dict(objective="survival:aft", max_depth=3, _bounds=1), 15, "ubj"),
    ("reglogistic", "diabetes", "Booster", dict(objective="reg:logistic", max_depth=3, _target="unit"), 15, "ubj"),
    ("rank_pairwise", "wine", "Booster", dict(objective="rank:pairwise", max_depth=3, _group=1), 10, "ubj"),
    ("rank_ndcg", "wine", "Booster", dict(objective="rank:ndcg", max_depth=2, _group=1), 10, "json"),
    ("logistic_d6", "breast_cancer", "Booster", dict(objective="binary:logistic", max_depth=6), 20, "ubj"),
    ("logistic_100", "breast_cancer", "Booster", dict(objective="binary:logistic", max_depth=2, eta=0.1, _missing=1), 100, "ubj"),
    ("logistic_1", "breast_cancer", "Booster", dict(objective="binary:logistic", max_depth=8, base_score=0.3), 1, "json"),
    ("logistic_forest", "breast_cancer", "Booster", dict(objective="binary:logistic", max_depth=4, num_parallel_tree=5, subsample=0.7, colsample_bynode=0.5), 4, "ubj"),
    ("logitraw", "breast_cancer", "Booster", dict(objective="binary:logitraw", max_depth=3, base_score=0.4), 8, "ubj"),
    ("hinge", "breast_cancer", "Booster", dict(objective="binary:hinge", max_depth=3), 8, "json"),
    ("softprob", "iris", "Booster", dict(objective="multi:softprob", num_class=3, max_depth=3, _missing=1), 10, "json"),
    ("softprob_forest", "wine", "Booster", dict(objective="multi:softprob", num_class=3, max_depth=3, num_parallel_tree=3, subsample=0.8), 4, "ubj"),
    ("softmax", "wine", "Booster", dict(objective="multi:softmax", num_class=3, max_depth=4), 10, "ubj"),
    ("digits_d8", "digits", "Booster", dict(objective="multi:softprob", num_class=10, max_depth=8, _rows=600), 3, "ubj"),
    ("skl_binary", "breast_cancer", "XGBClassifier", dict(max_depth=3), 30, "ubj"),
    ("skl_binary_stop", "breast_cancer", "XGBClassifier", dict(max_depth=3, learning_rate=0.7, _stop=1), 100, "json"),
    ("skl_multi_stop", "wine", "XGBClassifier", dict(max_depth=3, learning_rate=0.5, _stop=1), 60, "ubj"),
    ("skl_regressor_stop", "diabetes", "XGBRegressor", dict(max_depth=4, _stop=1), 100, "ubj"),
    ("skl_regressor", "diabetes", "XGBRegressor", dict(max_depth=5, base_score=100.0), 10, "json"),
    ("skl_forest", "digits", "XGBRFClassifier", dict(max_depth=4, _rows=500), 3, "ubj"),
]


def train_booster(data, opts, rounds):
    x, y, _ = data
    ours = {k: opts.pop(k) for k in list(opts) if k.startswith("_")}
    if "_rows" in ours:
        x, y = x[: ours["_rows"]], y[: ours["_rows"]]
    if ours.get("_missing"):
        x = with_holes(x)
    if ours.get("_target") == "unit":
        y = (y - y.min()) / (y.max() - y.min())
    matrix = xgb.DMatrix(x, label=None if "_bounds" in ours else y)
    if "_bounds" in ours:
        matrix.set_float_info("label_lower_bound", y)
        matrix.set_float_info("label_upper_bound", np.where(y > 200, np.inf, y + 10))
    if "_group" in ours:
        order = np.random.default_rng(5).permutation(len(x))
        matrix = xgb.DMatrix(x[order], label=y[order])
        matrix.set_group([20] * (len(x) // 20) + [len(x) % 20])
    booster = xgb.train({"seed": 1, "nthread": 1, **opts}, matrix, rounds)
    return booster


def expect_booster(file, rows):
    booster = xgb.Booster(model_file=file)
    test = xgb.DMatrix(rows)
    return {
        "class": "xgboost.core.Booster",
        "margins": numbers(booster.predict(test, output_margin=True)),
        "predict": numbers(booster.predict(test)),
    }


def train_wrapper(data, name, opts, rounds):
    x, y, _ = data
    ours = {k: opts.pop(k) for k in list(opts) if k.startswith("_")}
    if "_rows" in ours:
        x, y = x[: ours["_rows"]], y[: ours["_rows"]]
    order = np.random.default_rng(11).permutation(len(x))
    x, y = x[order], y[order]
    if "Classifier" in name:
        y = y.astype(int)
    fit = {}
    if ours.get("_stop"):
        opts["early_stopping_rounds"] = 5
        cut = len(x) * 3 // 4
        fit = dict(eval_set=[(x[cut:], y[cut:])], verbose=False)
        x, y = x[:cut], y[:cut]
    model = getattr(xgb, name)(n_estimators=rounds, random_state=1, n_jobs=1, **opts)
    model.fit(x, y, **fit)
    return model


def expect_wrapper(file, rows, name):
    model = getattr(xgb, name)()
    model.load_model(file)
    out = {
        "class": "xgboost.sklearn." + name,
        "margins": numbers(model.predict(rows, output_margin=True)),
        "predict": numbers(model.predict(rows)),
    }
    if "Classifier" in name:
        proba = model.predict_proba(rows)
        out["probability"] = numbers(proba[:, 1] if proba.shape[1] == 2 else proba)
    return out


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n")


def main():
    data = {n: load(n) for n in ("breast_cancer", "diabetes", "iris", "wine", "digits")}
    for name, (_, _, rows) in data.items():
        write(HERE / "inputs" / f"{name}.json", numbers(rows))

    (HERE / "models").mkdir(exist_ok=True)
    for name, dataset, kind, opts, rounds, form in CASES:
        if name == "quantile" and VERSION == "v17":
            continue  # XGBoost 2.0 brought this objective
        file = HERE / "models" / f"{VERSION}_{name}.{form}"
        if kind == "Booster":
            train_booster(data[dataset], dict(opts), rounds).save_model(file)
            expect = expect_booster(file, data[dataset][2])
        else:
            train_wrapper(data[dataset], kind, dict(opts), rounds).save_model(file)
            expect = expect_wrapper(file, data[dataset][2], kind)
        write(
            file.with_suffix(".expect.json"),
            {"library": xgb.__version__, "dataset": dataset, "model": file.name, **expect},
        )
    print(VERSION, len(list((HERE / "models").glob(f"{VERSION}_*.expect.json"))), "models")


if __name__ == "__main__":
    main()
