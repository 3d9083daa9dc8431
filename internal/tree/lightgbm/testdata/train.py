"""Trains the small models that the fuzzer of the parser begins with: python train.py"""

import pathlib

import lightgbm as lgb
import numpy as np

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(4)
X = rng.normal(size=(200, 4))
X[:, 3] = rng.choice([0, 1, 4, 7, 20, 33], 200)
y = X[:, 0] + 4 * np.isin(X[:, 3], [1, 7, 33]) + 0.1 * rng.normal(size=200)
X[rng.random(X.shape) < 0.1] = np.nan

for name, params, target in (
    ("regression", {}, y),
    ("category", {"min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 1}, y),
    ("linear", {"linear_tree": True}, y),
    ("forest", {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}, y),
    ("multiclass", {"objective": "multiclassova", "num_class": 3, "sigmoid": 0.5}, np.digitize(y, [-0.5, 0.8])),
):
    params = {"num_leaves": 5, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "deterministic": True, "seed": 1, **params}
    data = {"categorical_feature": [3]} if name == "category" else {}
    b = lgb.train(params, lgb.Dataset(X, target, params={"verbose": -1, **({"linear_tree": True} if name == "linear" else {})}, **data), 2)
    head, _, tail = b.model_to_string(importance_type="split").partition("\nparameters:")
    (HERE / f"{name}.txt").write_text(head + "\npandas_categorical:null\n")
