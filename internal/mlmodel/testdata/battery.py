"""Trains models of XGBoost and LightGBM, and writes what the libraries themselves answer.

    python battery.py DIRECTORY

For every model it writes NAME.model, as the library saves it, NAME.rows, the rows that are
predicted, and NAME.predict and NAME.probability, what the library answers, all little-endian
doubles; and a line of JSON about it to the standard output. Data are made from a seed. Among
the rows are missing values, both zeros, tiny and huge numbers, values that lie exactly on
the training data's and so on thresholds, and categories that no training data had.
"""

import json
import pathlib
import sys
import warnings

import lightgbm as lgb
import mlflow
import numpy as np
import pandas as pd
import xgboost as xgb
from mlflow.models import infer_signature

warnings.filterwarnings("ignore")
OUT = pathlib.Path(sys.argv[1])
N, F = 300, 6
RNG = np.random.default_rng(20)

# Columns: two normal, one of few values, one mostly zero, one wide, one of categories.
X = RNG.normal(size=(N, F))
X[:, 2] = RNG.integers(-3, 4, N)
X[:, 3] *= RNG.random(N) < 0.3
X[:, 4] *= 10.0 ** RNG.integers(-8, 9, N)
X[:, 5] = RNG.integers(0, 12, N)
HOLES = X.copy()
HOLES[RNG.random(X.shape) < 0.15] = np.nan
CODES = X.copy()  # three columns of categories
CODES[:, 1] = RNG.integers(0, 3, N)
CODES[:, 2] = RNG.integers(0, 90, N)
CODES_HOLES = CODES.copy()
CODES_HOLES[RNG.random(X.shape) < 0.1] = np.nan
CATEGORIES = [1, 2, 5]

S = X[:, 0] + 0.5 * X[:, 2] + np.isin(X[:, 5], [1, 4, 7]) + 0.3 * RNG.normal(size=N)
REAL, POSITIVE, UNIT = S, np.exp(S / 3), 1 / (1 + np.exp(-S))
CLASS, CLASSES = (S > 0).astype(int), np.digitize(S, [-1, 1])
TARGETS = np.stack([S, S**2 / 4, X[:, 1] - S], axis=1)
LABELS = np.stack([S > 0, X[:, 1] > 0, S > 1], axis=1).astype(int)
GROUPS = [30] * (N // 30)


def rows(x, huge=1e30, infinite=False):
    """What is predicted: rows of the data, and rows that are changed."""
    r = np.concatenate([x[:60], x[60:160]])
    changed = r[60:]
    odd = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-35, 1e-300, huge, -huge, 3.5, -1, -0.5, 0.5, 11.9, 12, 31, 32, 63.5, 96, 1e6, 2**31 - 2, 2**31 - 1, 2**31]
    if infinite:
        odd += [np.inf, -np.inf, 1e308, 2.0**31, 2.0**31 - 1, 2.0**32 + 1]
    at = RNG.integers(0, len(odd), changed.shape)
    changed[:] = np.where(RNG.random(changed.shape) < 0.4, np.array(odd)[at], changed)
    r[-1] = np.nan
    r[-2] = 0.0
    return r


def write(name, suffix, values):
    np.ascontiguousarray(values, dtype="<f8").tofile(OUT / f"{name}.{suffix}")


def tell(name, flavor, model_class, data, answers):
    assert name not in TOLD
    TOLD.add(name)
    write(name, "rows", data)
    for suffix, values in answers.items():
        write(name, suffix, values)
    print(json.dumps({"name": name, "flavor": flavor, "class": model_class, "features": data.shape[1], "answers": list(answers)}))


def saved(name, module, model, request, refused=False):
    """A model directory, and what MLflow's predict answers for a request of the signature's types."""
    at = OUT / name
    with_labels = model.predict(xgb.DMatrix(request)) if isinstance(model, xgb.Booster) else model.predict(request)
    plain = request.astype({c: str for c in request if request[c].dtype == "category"}) if refused else request
    module.save_model(model, str(at), signature=infer_signature(plain.head(50) if hasattr(plain, "head") else plain[:50], with_labels), pip_requirements=[])
    if refused:
        try:
            mlflow.pyfunc.load_model(str(at)).predict(plain)
        except ValueError:
            print(json.dumps({"name": name, "directory": True, "refused": True}))
            return
        raise AssertionError(f"{name}: MLflow answers")
    answer = mlflow.pyfunc.load_model(str(at)).predict(request)
    write(name, "rows", np.asarray(request, dtype=np.float64))
    write(name, "predict", answer)
    TOLD.add(name)
    print(json.dumps({"name": name, "directory": True, "features": request.shape[1], "answers": ["predict"]}))


TOLD = set()


# XGBoost.


def singles(x):
    return rows(x).astype(np.float32)


def xgb_booster(name, params, y, x=X, rounds=10, matrix=None, form="ubj", edit=None):
    x = x.astype(np.float32)
    d = xgb.DMatrix(x, label=y, nthread=1, **(matrix or {}))
    if edit:
        edit(d)
    b = xgb.train({"nthread": 1, "max_depth": 4, "seed": 1, **params}, d, rounds)
    file = OUT / f"{name}.{form}"
    b.save_model(file)
    b = xgb.Booster(model_file=file)
    file.rename(OUT / f"{name}.model")
    r = singles(x)
    answer = b.predict(xgb.DMatrix(r, nthread=1, feature_types=b.feature_types, enable_categorical=True))
    tell(name, "xgboost", "xgboost.core.Booster", r, {"predict": answer})


def xgb_wrapper(name, kind, y, x=X, stop=False, form="json", fit=None, **params):
    x = x.astype(np.float32)
    m = getattr(xgb, kind)(**{"n_estimators": 10, "max_depth": 3, "n_jobs": 1, "random_state": 1, **params}, **({"early_stopping_rounds": 3} if stop else {}))
    fit = dict(fit or {})
    if stop:
        x, y, fit["eval_set"], fit["verbose"] = x[:200], y[:200], [(x[200:], y[200:])], False
    m.fit(x, y, **fit)
    file = OUT / f"{name}.{form}"
    m.save_model(file)
    m = getattr(xgb, kind)()
    m.load_model(file)
    file.rename(OUT / f"{name}.model")
    r = singles(x)
    answers = {"predict": m.predict(r)}
    if "Classifier" in kind and m.objective != "multi:softmax":
        p = m.predict_proba(r)
        answers["probability"] = p[:, 1] if np.ndim(answers["predict"]) == 1 and p.shape[1] == 2 else p
    tell(name, "xgboost", "xgboost.sklearn." + kind, r, answers)


def train_xgboost():
    one = {
        "squarederror": ("reg:squarederror", REAL, {}),
        "squaredlogerror": ("reg:squaredlogerror", POSITIVE, {}),
        "logistic": ("reg:logistic", UNIT, {}),
        "pseudohuber": ("reg:pseudohubererror", REAL, {}),
        "absolute": ("reg:absoluteerror", REAL, {}),
        "quantile": ("reg:quantileerror", REAL, {"quantile_alpha": 0.3}),
        "gamma": ("reg:gamma", POSITIVE, {}),
        "tweedie": ("reg:tweedie", POSITIVE, {"tweedie_variance_power": 1.3}),
        "poisson": ("count:poisson", POSITIVE, {}),
        "cox": ("survival:cox", POSITIVE * np.where(CLASS, 1, -1), {}),
        "binary": ("binary:logistic", CLASS, {}),
        "logitraw": ("binary:logitraw", CLASS, {}),
        "hinge": ("binary:hinge", CLASS, {}),
        "softprob": ("multi:softprob", CLASSES, {"num_class": 3}),
        "softmax": ("multi:softmax", CLASSES, {"num_class": 3}),
    }
    boosters = {
        "tree": {},
        "dart": {"booster": "dart", "rate_drop": 0.3, "one_drop": 1},
        "forest": {"num_parallel_tree": 4, "subsample": 0.7, "colsample_bynode": 0.6},
    }
    for key, (objective, y, more) in one.items():
        for kind, params in boosters.items():
            xgb_booster(f"xgb_{key}_{kind}", {"objective": objective, **more, **params}, y, x=HOLES if kind != "dart" else X, form="json" if kind == "dart" else "ubj", rounds=8)
    for key in ("squarederror", "poisson", "binary", "softprob"):
        objective, y, more = one[key]
        xgb_booster(f"xgb_{key}_linear", {"objective": objective, **more, "booster": "gblinear", "eta": 0.3}, y, x=X[:, :4])
    for key in ("pairwise", "ndcg", "map"):
        xgb_booster(f"xgb_rank_{key}", {"objective": f"rank:{key}"}, CLASS if key == "map" else CLASSES, edit=lambda d: d.set_group(GROUPS))

    def bounds(d):
        d.set_float_info("label_lower_bound", POSITIVE)
        d.set_float_info("label_upper_bound", np.where(CLASS, POSITIVE, np.inf))

    for kind in ("normal", "logistic", "extreme"):
        xgb_booster(f"xgb_aft_{kind}", {"objective": "survival:aft", "aft_loss_distribution": kind}, None, edit=bounds)
    types = {"feature_types": ["c" if i in CATEGORIES else "q" for i in range(F)], "enable_categorical": True}
    for name, params in {"onehot": {"max_cat_to_onehot": 100}, "partition": {"max_cat_to_onehot": 1}, "mixed": {"max_cat_to_onehot": 5, "max_depth": 6}}.items():
        for holes in (False, True):
            xgb_booster(f"xgb_category_{name}_{holes}", params, REAL, x=CODES_HOLES if holes else CODES, matrix=types)
    xgb_booster("xgb_category_softprob", {"objective": "multi:softprob", "num_class": 3}, CLASSES, x=CODES_HOLES, matrix=types)
    xgb_booster("xgb_category_dart", {"booster": "dart", "rate_drop": 0.3, "one_drop": 1}, REAL, x=CODES, matrix=types)
    for name, params, y in (
        ("targets", {}, TARGETS),
        ("labels", {"objective": "binary:logistic"}, LABELS),
        ("absolute", {"objective": "reg:absoluteerror"}, TARGETS),
        ("quantiles", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]}, REAL),
    ):
        xgb_booster(f"xgb_several_{name}", params, y, x=HOLES)
        if name != "absolute":
            xgb_booster(f"xgb_vector_{name}", {**params, "multi_strategy": "multi_output_tree", "tree_method": "hist"}, y if name != "quantiles" else TARGETS, x=HOLES) if name != "quantiles" else None
    xgb_booster("xgb_vector_softprob", {"objective": "multi:softprob", "num_class": 3, "multi_strategy": "multi_output_tree"}, CLASSES)
    xgb_booster("xgb_vector_forest", {"multi_strategy": "multi_output_tree", "num_parallel_tree": 3, "subsample": 0.8}, TARGETS)
    for name, params, rounds in (
        ("stump", {"max_depth": 1}, 1),
        ("leaf", {"min_child_weight": 1e9}, 2),
        ("deep", {"max_depth": 14, "min_child_weight": 0, "reg_lambda": 0}, 5),
        ("lossguide", {"grow_policy": "lossguide", "max_leaves": 25, "max_depth": 0}, 6),
        ("depth8", {"max_depth": 8, "min_child_weight": 0}, 4),
        ("exact", {"tree_method": "exact"}, 6),
        ("approx", {"tree_method": "approx"}, 6),
        ("monotone", {"monotone_constraints": "(1,0,0,0,0,-1)"}, 6),
        ("interaction", {"interaction_constraints": "[[0,1],[2,3,4,5]]"}, 6),
        ("base", {"base_score": 1e4}, 6),
        ("trees5000", {"max_depth": 3, "eta": 0.02}, 5000),
        ("trees1500_binary", {"objective": "binary:logistic", "max_depth": 2, "eta": 0.05}, 1500),
    ):
        xgb_booster(f"xgb_{name}", params, CLASS if "binary" in name else REAL, x=HOLES, rounds=rounds)
    for stop in (False, True):
        xgb_wrapper(f"xgb_skl_regressor_{stop}", "XGBRegressor", REAL, stop=stop, n_estimators=60)
        xgb_wrapper(f"xgb_skl_binary_{stop}", "XGBClassifier", CLASS, stop=stop, n_estimators=60, form="ubj")
        xgb_wrapper(f"xgb_skl_multi_{stop}", "XGBClassifier", CLASSES, stop=stop, n_estimators=60)
        xgb_wrapper(f"xgb_skl_targets_{stop}", "XGBRegressor", TARGETS, stop=stop, n_estimators=60)
        xgb_wrapper(f"xgb_skl_dart_{stop}", "XGBRegressor", REAL, stop=stop, booster="dart", rate_drop=0.2, n_estimators=20)
    xgb_wrapper("xgb_skl_labels", "XGBClassifier", LABELS)
    xgb_wrapper("xgb_skl_softmax", "XGBClassifier", CLASSES, objective="multi:softmax")
    xgb_wrapper("xgb_skl_forest", "XGBRFRegressor", REAL)
    xgb_wrapper("xgb_skl_forest_binary", "XGBRFClassifier", CLASS)
    xgb_wrapper("xgb_skl_forest_multi", "XGBRFClassifier", CLASSES)
    xgb_wrapper("xgb_skl_vector", "XGBRegressor", TARGETS, multi_strategy="multi_output_tree")
    xgb_wrapper("xgb_skl_linear", "XGBClassifier", CLASS, x=X[:, :4], booster="gblinear")
    xgb_wrapper("xgb_skl_ranker", "XGBRanker", CLASSES, fit={"group": GROUPS})


# LightGBM.


def lgb_booster(name, params, y, x=X, rounds=10, frame=None, data=None, stop=False, wrapper=None):
    params = {"num_threads": 1, "verbose": -1, "num_leaves": 15, "min_data_in_leaf": 5, "seed": 1, "deterministic": True, **params}
    if wrapper:
        b = wrapper(params, rounds).fit(x, y, **(data or {})).booster_
    else:
        d = lgb.Dataset(frame if frame is not None else x, y, **{"params": {"verbose": -1, "min_data_in_bin": 1}, **(data or {})})
        more = {}
        if stop:
            d, more = d.subset(list(range(200))), {"valid_sets": [d.subset(list(range(200, N)))], "callbacks": [lgb.early_stopping(3, verbose=False)]}
        b = lgb.train(params, d, rounds, **more)
    file = OUT / f"{name}.model"
    b.save_model(file)
    r = rows(x, huge=1e300, infinite=not params.get("linear_tree"))
    tell(name, "lightgbm", "lightgbm.basic.Booster", r, {"predict": lgb.Booster(model_file=file).predict(r, num_threads=1)})


def train_lightgbm():
    one = {
        "regression": (REAL, {}),
        "regression_sqrt": (REAL, {"reg_sqrt": True}),
        "regression_l1": (REAL, {}),
        "huber": (REAL, {"alpha": 0.8}),
        "fair": (REAL, {}),
        "poisson": (POSITIVE, {}),
        "quantile": (REAL, {"alpha": 0.2}),
        "mape": (POSITIVE + 1, {}),
        "gamma": (POSITIVE, {}),
        "tweedie": (POSITIVE, {"tweedie_variance_power": 1.2}),
        "binary": (CLASS, {}),
        "binary_sigmoid": (CLASS, {"sigmoid": 0.7, "is_unbalance": True}),
        "multiclass": (CLASSES, {"num_class": 3}),
        "multiclassova": (CLASSES, {"num_class": 3, "sigmoid": 1.5}),
        "cross_entropy": (UNIT, {}),
        "cross_entropy_lambda": (UNIT, {}),
        "lambdarank": (CLASSES, {}),
        "rank_xendcg": (CLASSES, {}),
    }
    boosting = {
        "gbdt": {},
        "dart": {"boosting": "dart", "drop_rate": 0.4, "skip_drop": 0.2},
        "rf": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7, "feature_fraction": 0.8},
    }
    for key, (y, more) in one.items():
        objective = key.removesuffix("_sqrt").removesuffix("_sigmoid")
        rank = {"group": GROUPS} if "rank" in key else None
        for kind, params in boosting.items():
            if kind == "rf" and rank:
                continue
            lgb_booster(f"lgb_{key}_{kind}", {"objective": objective, **more, **params}, y, x=HOLES if kind != "dart" else X, data=rank)
    for key, params in {"none": {"use_missing": False}, "zero": {"zero_as_missing": True}, "nan": {}}.items():
        for holes in (False, True):
            lgb_booster(f"lgb_missing_{key}_{holes}", params, REAL, x=HOLES if holes else X, data={"params": {"verbose": -1, "min_data_in_bin": 1, **params}})
    for name, params in {
        "onehot": {"max_cat_to_onehot": 100},
        "sorted": {"max_cat_to_onehot": 1, "min_data_per_group": 5, "cat_smooth": 1},
        "mixed": {"min_data_per_group": 5, "cat_smooth": 1, "num_leaves": 31},
        "zero": {"min_data_per_group": 5, "cat_smooth": 1, "zero_as_missing": True},
        "none": {"min_data_per_group": 5, "cat_smooth": 1, "use_missing": False},
    }.items():
        for holes in (False, True):
            lgb_booster(f"lgb_category_{name}_{holes}", params, REAL, x=CODES_HOLES if holes else CODES, data={"categorical_feature": CATEGORIES, "params": {"verbose": -1, **params}})
    lgb_booster("lgb_category_multiclass", {"objective": "multiclass", "num_class": 3, "min_data_per_group": 5}, CLASSES, x=CODES_HOLES, data={"categorical_feature": CATEGORIES})
    lgb_booster("lgb_category_dart", {"boosting": "dart", "min_data_per_group": 5}, REAL, x=CODES, data={"categorical_feature": CATEGORIES})
    names = pd.DataFrame(CODES, columns=[f"f{i}" for i in range(F)])
    for i in CATEGORIES:
        names[f"f{i}"] = pd.Categorical.from_codes(CODES[:, i].astype(int), [f"c{k}" for k in range(100)])
    lgb_booster("lgb_category_names", {"min_data_per_group": 5}, REAL, x=CODES, frame=names)
    for name, params, x, y in (
        ("plain", {}, X, REAL),
        ("holes", {}, HOLES, REAL),
        ("smooth", {"linear_lambda": 0.5}, X, REAL),
        ("binary", {"objective": "binary"}, X, CLASS),
        ("multiclass", {"objective": "multiclass", "num_class": 3}, X, CLASSES),
        ("dart", {"boosting": "dart"}, X, REAL),
        ("leaf", {"min_data_in_leaf": 1000}, X, REAL),
    ):
        lgb_booster(f"lgb_linear_{name}", {"linear_tree": True, "num_leaves": 6, **params}, y, x=x[:, :4], rounds=5, data={"params": {"verbose": -1, "linear_tree": True}})
    lgb_booster("lgb_linear_category", {"linear_tree": True, "num_leaves": 6, "min_data_per_group": 5}, REAL, x=CODES, rounds=5, data={"categorical_feature": CATEGORIES, "params": {"verbose": -1, "linear_tree": True}})
    for name, params, rounds in (
        ("stump", {"num_leaves": 2}, 1),
        ("leaf", {"min_data_in_leaf": 1000}, 3),
        ("deep", {"num_leaves": 200, "min_data_in_leaf": 1}, 5),
        ("depth3", {"max_depth": 3}, 8),
        ("goss", {"data_sample_strategy": "goss"}, 8),
        ("extra", {"extra_trees": True}, 8),
        ("monotone", {"monotone_constraints": [1, 0, 0, 0, 0, -1]}, 8),
        ("quantized", {"use_quantized_grad": True}, 8),
        ("trees5000", {"num_leaves": 7, "learning_rate": 0.02}, 5000),
        ("trees1500_binary", {"objective": "binary", "num_leaves": 4, "learning_rate": 0.05}, 1500),
    ):
        lgb_booster(f"lgb_{name}", params, CLASS if "binary" in name else REAL, x=HOLES, rounds=rounds)
    lgb_booster("lgb_stop", {"learning_rate": 0.5}, REAL, rounds=60, stop=True)
    lgb_booster("lgb_stop_multiclass", {"objective": "multiclass", "num_class": 3, "learning_rate": 0.5}, CLASSES, rounds=60, stop=True)

    def mine(score, d):
        return score - d.get_label(), np.ones_like(score)

    lgb_booster("lgb_custom", {"objective": mine}, REAL)
    for kind, y in (("LGBMRegressor", REAL), ("LGBMClassifier", CLASS), ("LGBMClassifier", CLASSES), ("LGBMRanker", CLASSES)):
        name = f"lgb_skl_{kind}_{len(np.unique(y))}"
        fit = {"group": GROUPS} if kind == "LGBMRanker" else None
        lgb_booster(name, {}, y, data=fit, wrapper=lambda params, rounds: getattr(lgb, kind)(n_estimators=rounds, num_leaves=7, n_jobs=1, verbose=-1))


# As MLflow saves and serves them.


def save():
    mixed = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(np.float32), "c": X[:, 2].astype(np.int64), "d": X[:, 3] != 0, "e": X[:, 4], "f": X[:, 5].astype(np.int32)})
    mixed.loc[::7, "a"], mixed.loc[::9, "b"] = np.nan, np.nan
    mixed["e"] = mixed["e"] + 1e-9 * RNG.normal(size=N)  # doubles that no singles are
    large = 2**24 + RNG.integers(-9, 30, (N, 3))
    parity = (large % 2 + large[:, :1] / 1e6).sum(axis=1)
    small = {"verbose": -1, "num_threads": 1, "num_leaves": 15, "min_data_in_leaf": 3}
    for kind, request, y in (
        ("columns", mixed, REAL),
        ("singles", mixed.astype(np.float32), REAL),
        ("array", X, REAL),
        ("array32", X.astype(np.float32), REAL),
        ("integers", large, parity),
        ("integer_columns", pd.DataFrame(large, columns=list("abc")), parity),
    ):
        saved(f"saved_lgb_{kind}", mlflow.lightgbm, lgb.train({**small}, lgb.Dataset(request, y, params={"min_data_in_bin": 1, "verbose": -1}), 10), request)
    for kind, request in (("columns", mixed), ("array32", X.astype(np.float32))):
        matrix = xgb.DMatrix(request, REAL)
        saved(f"saved_xgb_{kind}", mlflow.xgboost, xgb.train({"max_depth": 4, "nthread": 1}, matrix, 10), request)
        saved(f"saved_xgb_wrapper_{kind}", mlflow.xgboost, xgb.XGBRegressor(n_estimators=10, n_jobs=1).fit(request, REAL), request)
    named = mixed.assign(f=pd.Categorical(mixed["f"].map("c{}".format)))
    saved("saved_lgb_names", mlflow.lightgbm, lgb.train({**small}, lgb.Dataset(named, REAL), 10), named, refused=True)


train_xgboost()
train_lightgbm()
save()
