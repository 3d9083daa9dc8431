"""Trains models with the real libraries, saves them by MLflow, and writes beside each what its own
predict answers: argv[1]/NAME/model, request.json (dataframe_split) and answer.json."""

import json
import logging
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import lightgbm
import mlflow
import numpy as np
import onnx
import pandas as pd
import statsmodels.api as sm
from mlflow.models import infer_signature
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.compose import make_column_transformer
from sklearn.svm import SVC

logging.getLogger("mlflow").setLevel(logging.ERROR)
out = Path(sys.argv[1])


# What a flavor's save_model calls the model.
ARGUMENT = {"sklearn": "sk_model", "statsmodels": "statsmodels_model", "lightgbm": "lgb_model", "onnx": "onnx_model"}


def plain(answer):
    if isinstance(answer, pd.DataFrame):
        return {str(c): answer[c].tolist() for c in answer.columns}
    if isinstance(answer, dict):
        return {name: values.tolist() for name, values in answer.items()}
    return {"predict": np.asarray(answer).tolist()}


def request(data):
    if isinstance(data, np.ndarray):
        return {"inputs": data.tolist()}
    return {"dataframe_split": json.loads(data.to_json(orient="split", index=False, date_format="iso", double_precision=15))}


def save(name, flavor, model, data, probability=None, **options):
    directory = out / name / "model"
    signature = options.pop("signature", None)
    if model is not None:
        options[ARGUMENT[flavor.__name__.split(".")[-1]]] = model
    options["pip_requirements"] = ["mlflow"]  # given, or MLflow spends seconds on guessing them
    flavor.save_model(path=str(directory), signature=signature, **options)
    answer = plain(mlflow.pyfunc.load_model(str(directory)).predict(data))
    if probability is not None:
        answer["probability"] = probability.tolist()
    (out / name / "request.json").write_text(json.dumps(request(data)))
    (out / name / "answer.json").write_text(json.dumps(answer))


iris, kinds = load_iris(return_X_y=True, as_frame=True)
sick, level = load_diabetes(return_X_y=True, as_frame=True)
some = iris.sample(40, random_state=1)


def classifier(name, model, data=iris, labels=kinds, rows=some, **options):
    model.fit(data, labels)
    p = model.predict_proba(rows) if hasattr(model, "predict_proba") else None
    if p is not None and p.shape[1] == 2:
        p = p[:, 1]
    save(name, mlflow.sklearn, model, rows, p, signature=infer_signature(data, model.predict(data)), **options)


classifier("pipeline", make_pipeline(StandardScaler(), LogisticRegression()))
classifier("forest", RandomForestClassifier(20, random_state=0), serialization_format="cloudpickle")
classifier("boosted", HistGradientBoostingClassifier(max_iter=10), labels=(kinds == 1).astype(int), serialization_format="pickle")
classifier("names", RandomForestClassifier(5, random_state=0), labels=kinds.map({0: "a", 1: "b", 2: "c"}), serialization_format="pickle")
classifier("vectors", SVC())

mixed = pd.DataFrame({"city": ["bern", "oslo", "rome", "oslo"] * 10, "age": np.arange(40), "rate": np.linspace(0, 1, 40, dtype="float32"),
                      "new": [True, False] * 20})
ridge = make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"), Ridge())
ridge.fit(mixed, np.arange(40.0))
save("mixed", mlflow.sklearn, ridge, mixed.head(7), signature=infer_signature(mixed, ridge.predict(mixed)))

ols = sm.OLS(level, sick).fit()
save("statsmodels", mlflow.statsmodels, ols, sick.head(9), signature=infer_signature(sick, ols.predict(sick)))

leaves = lightgbm.LGBMClassifier(n_estimators=10, num_leaves=7, verbose=-1, n_jobs=1).fit(iris, kinds)
save("lightgbm", mlflow.lightgbm, leaves, some, signature=infer_signature(iris, leaves.predict(iris)))
booster = lightgbm.train({"objective": "regression", "num_leaves": 7, "verbose": -1, "num_threads": 1}, lightgbm.Dataset(sick, level), 10)
save("lightgbm_booster", mlflow.lightgbm, booster, sick.head(9), signature=infer_signature(sick, booster.predict(sick)))

matrix = iris.to_numpy()
plainfit = LogisticRegression(max_iter=500).fit(matrix, kinds)
save("matrix", mlflow.sklearn, plainfit, matrix[:11], plainfit.predict_proba(matrix[:11]),
     signature=infer_signature(matrix, plainfit.predict(matrix)))

# The same logistic regression as a graph of ONNX: MatMul, Add, Softmax.
vectors, graph = onnx.TensorProto.FLOAT, onnx.helper
network = graph.make_model(graph.make_graph(
    [graph.make_node("MatMul", ["rows", "weights"], ["product"]), graph.make_node("Add", ["product", "bias"], ["scores"]),
     graph.make_node("Softmax", ["scores"], ["probabilities"], axis=1)],
    "regression", [graph.make_tensor_value_info("rows", vectors, [None, 4])], [graph.make_tensor_value_info("probabilities", vectors, [None, 3])],
    [onnx.numpy_helper.from_array(plainfit.coef_.T.astype("float32"), "weights"), onnx.numpy_helper.from_array(plainfit.intercept_.astype("float32"), "bias")]),
    opset_imports=[graph.make_opsetid("", 17)], ir_version=9)
single = matrix.astype("float32")
save("onnx", mlflow.onnx, network, single[:13], signature=infer_signature(single, plainfit.predict_proba(matrix).astype("float32")))


class Own(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"name": model_input["name"].str.upper(), "twice": model_input["x"] * 2, "year": model_input["when"].dt.year})


frame = pd.DataFrame({"name": ["ä", "b"], "x": [1.5, 2.0], "when": pd.to_datetime(["2026-01-01T00:00:00", "2025-01-02T03:04:05"])})
save("own", mlflow.pyfunc, None, frame, signature=infer_signature(frame, Own().predict(None, frame)), python_model=Own())
