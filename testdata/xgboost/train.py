"""Train the parity models of internal/tree with the real XGBoost library.

Run it once in an environment of every version that requirements.txt names:

    python testdata/xgboost/train.py

It writes models/vNN_CASE.{json,ubj}, as the library saves them, and beside each model
vNN_CASE.expect.json: what the library itself answers for the rows of
inputs/DATASET.json. The later rows of those have missing values (null). Numbers are
the shortest decimals that give back the same float32.

All data are scikit-learn's bundled sets, or made from them: "codes" has categories in its
first four columns, and among its rows codes that are no category; "small" has four columns
and serves models of several targets. Every random choice is seeded.
"""

import json
import pathlib

import numpy as np
import pandas as pd
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


def load_small():
    """Four columns of the diabetes data."""
    x, y, rows = load("diabetes")
    return x[:, [2, 3, 8, 9]], y, rows[48:72][:, [2, 3, 8, 9]]


# Categories of each column of the codes, 0 for a plain number.
CODES = [12, 2, 70, 5, 0, 0]
TYPES = ["c" if n else "q" for n in CODES]
NAMES = [f"f{i}" for i in range(len(CODES))]


def load_codes():
    """The diabetes data with four columns cut into categories of shuffled codes."""
    x, y = datasets.load_diabetes(return_X_y=True)
    x = x[:, [0, 1, 2, 3, 8, 9]].astype(np.float32)
    rng = np.random.default_rng(17)
    for i, n in enumerate(CODES):
        if n:
            ranks = x[:, i].argsort(kind="stable").argsort() if n > 2 else (x[:, i] > 0) * len(x) // 2
            x[:, i] = rng.permutation(n)[np.minimum(ranks * n // len(x), n - 1)]
    rows = x[rng.permutation(len(x))[:60]].copy()
    holes = rng.random(rows.shape) < 0.2
    holes[:20] = False
    rows[holes] = np.nan
    for i, code in enumerate([-1, -0.5, -1e9, 0.5, 1.9, 12, 31, 32, 63.5, 70, 96, 16777215, 16777216, 1e9]):
        rows[40 + i, i % 4] = code
        rows[41 + i, 2] = code
    return x, y.astype(np.float64), rows


def with_target(name, x, y):
    """The targets of a model, made from that of the diabetes data."""
    if name == "unit":
        return (y - y.min()) / (y.max() - y.min())
    if name == "centered":
        return y - 150
    if name == "class":
        return y > 140
    if name == "classes":
        return np.digitize(y, [100, 180])
    if name == "values":
        return np.stack([y / 100, np.log(y), (y - 150) / 50 + 10 * x[:, 0]], axis=1)
    if name == "units":
        return np.stack([with_target("unit", x, y), 1 / (1 + np.exp(-20 * x[:, 1]))], axis=1)
    if name == "positives":
        return np.exp(with_target("units", x, y))
    if name == "ones":
        return np.ones(len(y))
    if name == "labels":
        return np.stack([y > 100, y > 170, x[:, 0] + x[:, 1] > 0], axis=1)
    return y


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


LINEAR = dict(booster="gblinear", updater="coord_descent", eta=0.7)
DART = dict(booster="dart", rate_drop=0.3, one_drop=1)
VECTOR = dict(tree_method="hist", multi_strategy="multi_output_tree", _since="v21")

# Name, data set, class, options, rounds, format. Options that start with an underscore are ours:
# _missing trains on data with holes, _target maps the target, _rows cuts the data,
# _group makes query groups, _bounds gives survival intervals, _stop asks for early stopping,
# _frame trains on a data frame of named categories, _prune prunes the grown trees, _since
# names the first version.
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
    ("quantile", "diabetes", "Booster", dict(objective="reg:quantileerror", quantile_alpha=0.8, max_depth=3, tree_method="hist", _since="v21"), 15, "ubj"),
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
    # Categorical splits.
    ("cat_partition", "codes", "Booster", dict(tree_method="hist", max_depth=3, max_cat_to_onehot=1), 6, "ubj"),
    ("cat_onehot", "codes", "Booster", dict(tree_method="hist", max_depth=4, max_cat_to_onehot=100), 5, "json"),
    ("cat_missing", "codes", "Booster", dict(tree_method="hist", max_depth=4, max_cat_to_onehot=4, _missing=1), 5, "json"),
    ("cat_approx", "codes", "Booster", dict(tree_method="approx", max_depth=3, max_cat_to_onehot=6, _missing=1), 5, "ubj"),
    ("cat_pruned", "codes", "Booster", dict(tree_method="approx", max_depth=4, _prune=30000.0), 4, "ubj"),
    ("cat_lossguide", "codes", "Booster", dict(tree_method="hist", grow_policy="lossguide", max_leaves=12, max_depth=0, max_cat_threshold=8), 4, "ubj"),
    ("cat_forest", "codes", "Booster", dict(tree_method="hist", max_depth=3, num_parallel_tree=4, subsample=0.7, colsample_bynode=0.6), 2, "ubj"),
    ("cat_logistic", "codes", "Booster", dict(objective="binary:logistic", tree_method="hist", max_depth=3, _target="class"), 6, "ubj"),
    ("cat_softprob", "codes", "Booster", dict(objective="multi:softprob", num_class=3, tree_method="hist", max_depth=3, _target="classes"), 3, "ubj"),
    ("cat_dart", "codes", "Booster", dict(tree_method="hist", max_depth=3, **DART), 6, "ubj"),
    ("cat_targets", "codes", "Booster", dict(tree_method="hist", max_depth=3, _target="values"), 3, "ubj"),
    ("cat_skl_regressor", "codes", "XGBRegressor", dict(tree_method="hist", max_depth=3, _missing=1), 6, "ubj"),
    ("skl_missing", "codes", "XGBRegressor", dict(tree_method="hist", max_depth=4, missing=3.0), 6, "ubj"),
    ("cat_skl_binary", "codes", "XGBClassifier", dict(tree_method="hist", max_depth=3, _target="class", _stop=1), 12, "json"),
    ("cat_skl_multi", "codes", "XGBClassifier", dict(tree_method="hist", max_depth=3, _target="classes"), 3, "ubj"),
    ("cat_names", "codes", "Booster", dict(tree_method="hist", max_depth=3, _frame=1), 5, "ubj"),
    ("cat_skl_names", "codes", "XGBRegressor", dict(tree_method="hist", max_depth=3, _frame=1, _since="v32"), 5, "json"),
    # Dart.
    ("dart_sq", "small", "Booster", dict(max_depth=3, **DART), 10, "json"),
    ("dart_forest", "small", "Booster", dict(max_depth=3, normalize_type="forest", sample_type="weighted", skip_drop=0.2, num_parallel_tree=2, subsample=0.8, **DART), 5, "ubj"),
    ("dart_logistic", "small", "Booster", dict(objective="binary:logistic", max_depth=3, _target="class", _missing=1, **DART), 10, "ubj"),
    ("dart_softprob", "small", "Booster", dict(objective="multi:softprob", num_class=3, max_depth=3, _target="classes", **DART), 5, "ubj"),
    ("dart_targets", "small", "Booster", dict(max_depth=3, _target="values", **DART), 5, "ubj"),
    ("dart_poisson", "small", "Booster", dict(objective="count:poisson", max_depth=3, **DART), 8, "ubj"),
    ("dart_skl_regressor", "small", "XGBRegressor", dict(booster="dart", rate_drop=0.05, learning_rate=1.0, reg_lambda=0, max_depth=3, base_score=100000.0, _target="centered"), 8, "ubj"),
    ("dart_skl_stop", "small", "XGBRegressor", dict(max_depth=3, learning_rate=0.9, _stop=1, **DART), 12, "ubj"),
    ("dart_skl_multi", "small", "XGBClassifier", dict(max_depth=3, _target="classes", **DART), 5, "json"),
    # Gblinear.
    ("linear_sq", "small", "Booster", dict(**LINEAR), 10, "json"),
    ("linear_logistic", "small", "Booster", dict(objective="binary:logistic", _target="class", _missing=1, **LINEAR), 10, "ubj"),
    ("linear_softprob", "small", "Booster", dict(objective="multi:softprob", num_class=3, _target="classes", **LINEAR), 10, "ubj"),
    ("linear_targets", "small", "Booster", dict(_target="values", **LINEAR), 10, "ubj"),
    ("linear_skl_regressor", "small", "XGBRegressor", dict(_stop=1, **LINEAR), 30, "ubj"),
    ("linear_skl_binary", "small", "XGBClassifier", dict(_target="class", **LINEAR), 10, "json"),
    # The objectives that are missing above.
    ("reglinear", "small", "Booster", dict(objective="reg:linear", max_depth=3), 4, "ubj"),
    ("rank_map", "small", "Booster", dict(objective="rank:map", max_depth=3, _target="class", _group=1), 5, "ubj"),
    ("all_ones", "small", "Booster", dict(objective="binary:logistic", max_depth=2, _target="ones", _since="v32"), 2, "json"),
    # Several targets.
    ("targets_sq", "small", "Booster", dict(max_depth=3, _target="values"), 4, "ubj"),
    ("targets_json", "small", "Booster", dict(max_depth=2, base_score=1.5, _target="values", _missing=1), 4, "json"),
    ("targets_forest", "small", "Booster", dict(max_depth=3, num_parallel_tree=3, subsample=0.7, _target="values"), 2, "ubj"),
    ("targets_absolute", "small", "Booster", dict(objective="reg:absoluteerror", max_depth=3, _target="values", _since="v21"), 4, "ubj"),
    ("targets_pseudohuber", "small", "Booster", dict(objective="reg:pseudohubererror", max_depth=3, _target="values"), 4, "ubj"),
    ("targets_squaredlog", "small", "Booster", dict(objective="reg:squaredlogerror", max_depth=3, _target="units"), 4, "ubj"),
    ("targets_reglogistic", "small", "Booster", dict(objective="reg:logistic", max_depth=3, _target="units"), 4, "ubj"),
    ("labels_logistic", "small", "Booster", dict(objective="binary:logistic", max_depth=3, _target="labels"), 4, "ubj"),
    ("labels_logitraw", "small", "Booster", dict(objective="binary:logitraw", max_depth=3, _target="labels"), 4, "ubj"),
    ("targets_gamma", "small", "Booster", dict(objective="reg:gamma", max_depth=3, _target="positives", _since="v32"), 4, "ubj"),
    ("quantiles", "small", "Booster", dict(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9], max_depth=3, tree_method="hist", _since="v21"), 4, "ubj"),
    ("quantiles_dart", "small", "Booster", dict(objective="reg:quantileerror", quantile_alpha=[0.25, 0.75], max_depth=3, tree_method="hist", _since="v21", **DART), 4, "json"),
    ("base_vector", "small", "Booster", dict(max_depth=3, base_score=[1.0, -2.5, 0.125], _target="values", _since="v32"), 3, "json"),
    ("vector_sq", "small", "Booster", dict(max_depth=3, _target="values", **VECTOR), 4, "json"),
    ("vector_missing", "small", "Booster", dict(max_depth=4, _target="values", _missing=1, **VECTOR), 4, "ubj"),
    ("vector_forest", "small", "Booster", dict(max_depth=3, num_parallel_tree=3, subsample=0.7, _target="values", **VECTOR), 2, "ubj"),
    ("vector_lossguide", "small", "Booster", dict(grow_policy="lossguide", max_leaves=10, max_depth=0, _target="values", **VECTOR), 3, "ubj"),
    ("vector_logistic", "small", "Booster", dict(objective="binary:logistic", max_depth=3, _target="labels", **VECTOR), 4, "ubj"),
    ("vector_softprob", "small", "Booster", dict(objective="multi:softprob", num_class=3, max_depth=3, _target="classes", **VECTOR), 4, "ubj"),
    ("vector_softmax", "small", "Booster", dict(objective="multi:softmax", num_class=3, max_depth=3, _target="classes", **VECTOR), 4, "ubj"),
    ("vector_stump", "small", "Booster", dict(max_depth=3, min_child_weight=1000, _target="values", **VECTOR), 2, "json"),
    # Wrappers of several targets, and rankers.
    ("skl_targets", "small", "XGBRegressor", dict(max_depth=3, _target="values"), 4, "ubj"),
    ("skl_targets_stop", "small", "XGBRegressor", dict(max_depth=3, learning_rate=0.8, _target="values", _stop=1), 12, "ubj"),
    ("skl_targets_forest", "small", "XGBRFRegressor", dict(max_depth=3, _target="values"), 4, "ubj"),
    ("skl_regressor_forest", "small", "XGBRFRegressor", dict(max_depth=4), 5, "json"),
    ("skl_labels", "small", "XGBClassifier", dict(max_depth=3, _target="labels"), 4, "ubj"),
    ("skl_labels_forest", "small", "XGBRFClassifier", dict(max_depth=3, _target="labels"), 4, "json"),
    ("skl_softmax", "small", "XGBClassifier", dict(objective="multi:softmax", max_depth=3, _target="classes"), 3, "ubj"),
    ("skl_two_columns", "small", "XGBClassifier", dict(objective="multi:softprob", num_class=2, max_depth=3, _target="class"), 3, "ubj"),
    ("skl_ranker", "small", "XGBRanker", dict(max_depth=3, _target="classes", _group=1), 5, "ubj"),
    ("skl_quantiles", "small", "XGBRegressor", dict(objective="reg:quantileerror", quantile_alpha=[0.2, 0.8], max_depth=3, _since="v21"), 4, "ubj"),
    ("skl_vector", "small", "XGBRegressor", dict(max_depth=3, learning_rate=0.8, _target="values", _stop=1, **VECTOR), 12, "ubj"),
    ("skl_vector_labels", "small", "XGBClassifier", dict(max_depth=3, _target="labels", **VECTOR), 4, "json"),
    ("skl_vector_multi", "small", "XGBClassifier", dict(max_depth=3, _target="classes", **VECTOR), 4, "ubj"),
    ("skl_vector_forest", "small", "XGBRFRegressor", dict(max_depth=3, _target="values", **VECTOR), 3, "ubj"),
]


def prepare(data, dataset, opts):
    """Training data, the options of ours, and what tells the library about categories."""
    x, y, _ = data
    ours = {k: opts.pop(k) for k in list(opts) if k.startswith("_")}
    if "_rows" in ours:
        x, y = x[: ours["_rows"]], y[: ours["_rows"]]
    y = with_target(ours.get("_target"), x, y)
    if ours.get("_missing"):
        x = with_holes(x)
    kinds = dict(feature_types=TYPES, enable_categorical=True) if dataset == "codes" else {}
    return x, y, ours, kinds


def frame(x):
    """A data frame of the codes, whose categories have names."""
    columns = {}
    for i, n in enumerate(CODES):
        names = [f"c{k}" for k in range(n)]
        columns[NAMES[i]] = pd.Categorical.from_codes(x[:, i].astype(int), names) if n else x[:, i]
    return pd.DataFrame(columns)


def train_booster(data, dataset, opts, rounds):
    x, y, ours, kinds = prepare(data, dataset, opts)
    if ours.get("_frame"):
        matrix = xgb.DMatrix(frame(x), label=y, enable_categorical=True)
    else:
        matrix = xgb.DMatrix(x, label=None if "_bounds" in ours else y, **kinds)
    if "_bounds" in ours:
        matrix.set_float_info("label_lower_bound", y)
        matrix.set_float_info("label_upper_bound", np.where(y > 200, np.inf, y + 10))
    if "_group" in ours:
        order = np.random.default_rng(5).permutation(len(x))
        matrix = xgb.DMatrix(x[order], label=y[order])
        matrix.set_group([20] * (len(x) // 20) + [len(x) % 20])
    booster = xgb.train({"seed": 1, "nthread": 1, **opts}, matrix, rounds)
    if "_prune" in ours:  # later, so that splits are deleted
        prune = dict(process_type="update", updater="prune", gamma=ours["_prune"])
        booster = xgb.train({"seed": 1, "nthread": 1, **prune}, matrix, rounds, xgb_model=booster)
    return booster


def expect_booster(file, rows):
    booster = xgb.Booster(model_file=file)
    # Categories come as codes, as in a data frame that MLflow makes of a request.
    test = xgb.DMatrix(pd.DataFrame(rows, columns=booster.feature_names) if booster.feature_names else rows)
    return {
        "class": "xgboost.core.Booster",
        "margins": numbers(booster.predict(test, output_margin=True)),
        "predict": numbers(booster.predict(test)),
    }


def train_wrapper(data, dataset, name, opts, rounds):
    x, y, ours, kinds = prepare(data, dataset, opts)
    order = np.random.default_rng(11).permutation(len(x))
    x, y = x[order], y[order]
    if "Classifier" in name:
        y = y.astype(int)
    fit = {}
    if ours.get("_group"):
        fit = dict(group=[20] * (len(x) // 20) + [len(x) % 20])
    if ours.get("_stop"):
        opts["early_stopping_rounds"] = 5
        cut = len(x) * 3 // 4
        fit = dict(eval_set=[(x[cut:], y[cut:])], verbose=False)
        x, y = x[:cut], y[:cut]
    if ours.get("_frame"):
        x, kinds = frame(x), dict(enable_categorical=True)
    model = getattr(xgb, name)(n_estimators=rounds, random_state=1, n_jobs=1, **kinds, **opts)
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
    if "Classifier" in name and model.objective != "multi:softmax":
        proba = model.predict_proba(rows)
        binary = proba.shape[1] == 2 and np.ndim(out["predict"]) == 1
        out["probability"] = numbers(proba[:, 1] if binary else proba)
    return out


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n")


def main():
    data = {n: load(n) for n in ("breast_cancer", "diabetes", "iris", "wine", "digits")}
    data |= {"small": load_small(), "codes": load_codes()}
    for name, (_, _, rows) in data.items():
        write(HERE / "inputs" / f"{name}.json", numbers(rows))

    (HERE / "models").mkdir(exist_ok=True)
    for name, dataset, kind, opts, rounds, form in CASES:
        if VERSION < opts.get("_since", "v17"):
            continue
        file = HERE / "models" / f"{VERSION}_{name}.{form}"
        if kind == "Booster":
            train_booster(data[dataset], dataset, dict(opts), rounds).save_model(file)
            expect = expect_booster(file, data[dataset][2])
        else:
            train_wrapper(data[dataset], dataset, kind, dict(opts), rounds).save_model(file)
            expect = expect_wrapper(file, data[dataset][2], kind)
        write(
            file.with_suffix(".expect.json"),
            {"library": xgb.__version__, "dataset": dataset, "model": file.name, **expect},
        )
    print(VERSION, len(list((HERE / "models").glob(f"{VERSION}_*.expect.json"))), "models")


if __name__ == "__main__":
    main()
