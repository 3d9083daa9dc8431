"""Makes ONNX models, saves them by MLflow, and writes what the library itself answers: argv[1]/NAME/
model, request.json and answer.json.

A request is of tensors ({"tensors": [...]}), or of MLflow's scoring protocol where the model has a
signature. Answers are those of MLflow's predict where that answers at all, else of onnxruntime."""

import copy
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
import onnxmltools
import onnxruntime
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from onnxmltools.convert.common.data_types import FloatTensorType as MLFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

logging.getLogger("mlflow").setLevel(logging.ERROR)
out = Path(sys.argv[1])
rng = np.random.default_rng(7)


def graph(nodes, inputs, outputs, weights=(), opset=17):
    g = h.make_graph(
        nodes,
        "g",
        [h.make_tensor_value_info(*i) for i in inputs],
        [o if isinstance(o, onnx.ValueInfoProto) else h.make_tensor_value_info(*o) for o in outputs],
        [nh.from_array(w, name) for name, w in weights],
    )
    return h.make_model(g, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("ai.onnx.ml", 3)], ir_version=9)


def tensor(name, value):
    """A tensor as JSON; floats of 16 bits are given by their bits."""
    value = np.asarray(value)
    kind = "string" if value.dtype == object or value.dtype.kind == "U" else value.dtype.name
    if kind in ("float16", "bfloat16"):
        value = value.view(np.uint16)
    return {"name": name, "dtype": kind, "shape": list(value.shape), "data": value.ravel().tolist()}


def answers(names, values):
    result = []
    for name, value in zip(names, values):
        if isinstance(value, list):  # of maps
            value = np.array([[row[k] for k in sorted(row)] for row in value], dtype="float32")
        result.append(tensor(name, value))
    return result


def save(name, model, feeds, frame=None, signature=None, mlflows=True, want=None, **options):
    """Feeds are what onnxruntime is given, frame is what MLflow is, whose answer has to be the same; unless
    it has none: it makes no data frame of matrices, nor matrices of one column of data frames."""
    directory = out / name / "model"
    mlflow.onnx.save_model(copy.deepcopy(model), str(directory), signature=signature, pip_requirements=["mlflow"], **options)
    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    values = session.run(names, feeds) if want is None else want
    if frame is None:
        request = {"tensors": [tensor(k, v) for k, v in feeds.items()]}
    elif isinstance(frame, pd.DataFrame):
        request = {"dataframe_split": json.loads(frame.to_json(orient="split", index=False, double_precision=15))}
    else:
        request = {"inputs": frame.tolist()}
    if frame is not None and mlflows:
        answer = mlflow.pyfunc.load_model(str(directory)).predict(frame)
        for n, v in zip(names, values):
            if not isinstance(v, list) and v.dtype != object:
                np.testing.assert_allclose(np.ravel(answer[n]), np.ravel(v), rtol=1e-6)
    (out / name / "request.json").write_text(json.dumps(request))
    (out / name / "answer.json").write_text(json.dumps(answers(names, values)))


# Every element type, in and out, as matrices of a dynamic number of rows.
KINDS = {
    "bool": T.BOOL, "int8": T.INT8, "int16": T.INT16, "int32": T.INT32, "int64": T.INT64, "uint8": T.UINT8, "uint16": T.UINT16,
    "uint32": T.UINT32, "uint64": T.UINT64, "float16": T.FLOAT16, "float32": T.FLOAT, "float64": T.DOUBLE,
}
for kind, code in KINDS.items():
    data = rng.integers(0, 2 if kind == "bool" else 100, (5, 3)).astype(kind)
    if kind.startswith(("int", "uint")):
        data[0, 0], data[1, 1] = np.iinfo(kind).max, np.iinfo(kind).min
    if kind.startswith("float"):
        data = data / np.asarray(7, kind)
        data[0, 0], data[1, 1], data[2, 2] = np.nan, np.inf, -0.0
    model = graph(
        [h.make_node("Identity", ["x"], ["same"]), h.make_node("Concat", ["x", "x"], ["twice"], axis=1)],
        [("x", code, ["n", 3])],
        [("same", code, ["n", 3]), ("twice", code, ["n", 6])],
    )
    save("type_" + kind, model, {"x": data})

# The Python of onnxruntime takes no arrays of them: what the casts answer is known.
brain = nh.to_array(h.make_tensor("b", T.BFLOAT16, [2, 3], [1.0, -2.5, 0.0, float("nan"), float("inf"), 1e-3]))
casts = [h.make_node("Cast", ["x"], ["single"], to=T.FLOAT), h.make_node("Cast", ["single"], ["same"], to=T.BFLOAT16)]
save("type_bfloat16", graph(casts, [("x", T.BFLOAT16, ["n", 3])], [("single", T.FLOAT, ["n", 3]), ("same", T.BFLOAT16, ["n", 3])]), {"x": brain},
     want=[brain.astype("float32"), brain])

words = np.array([["ä", ""], ["b\u0000c", "日本"], ["x" * 3000, "🚢"]], dtype=object)
save("type_string", graph([h.make_node("Concat", ["x", "x"], ["y"], axis=1)], [("x", T.STRING, ["n", 2])], [("y", T.STRING, ["n", 4])]), {"x": words})

# Networks: weights beside the model, images of any size, several inputs and outputs.
layers = [rng.normal(size=s).astype("float32") for s in [(20, 64), (64,), (64, 3), (3,)]]
mlp = graph(
    [h.make_node("Gemm", ["x", "w1", "b1"], ["h"]), h.make_node("Relu", ["h"], ["r"]), h.make_node("Gemm", ["r", "w2", "b2"], ["s"]),
     h.make_node("Softmax", ["s"], ["p"], axis=1)],
    [("x", T.FLOAT, ["batch", 20])], [("p", T.FLOAT, ["batch", 3])], zip(["w1", "b1", "w2", "b2"], layers))
rows = rng.normal(size=(9, 20)).astype("float32")
save("mlp", mlp, {"x": rows}, frame=rows, signature=infer_signature(rows, rng.random((2, 3)).astype("float32")))
assert list((out / "mlp/model").glob("*.data")), "its weights lie in a file of their own"
table = pd.DataFrame(rows.astype("float64"), columns=["c%d" % i for i in range(20)])
save("mlp_columns", mlp, {"x": rows}, frame=table, signature=infer_signature(table))

image = graph(
    [h.make_node("Conv", ["image", "k"], ["c"], pads=[1, 1, 1, 1]), h.make_node("Relu", ["c"], ["r"]), h.make_node("GlobalAveragePool", ["r"], ["g"]),
     h.make_node("Flatten", ["g"], ["features"])],
    [("image", T.FLOAT, ["n", 3, "h", "w"])], [("features", T.FLOAT, ["n", 4]), ("r", T.FLOAT, ["n", 4, "h", "w"])],
    [("k", rng.normal(size=(4, 3, 3, 3)).astype("float32"))])
save("image", image, {"image": rng.normal(size=(2, 3, 11, 7)).astype("float32")})

several = graph(
    [h.make_node("Mul", ["a", "b"], ["product"]), h.make_node("Cast", ["k"], ["kf"], to=T.FLOAT), h.make_node("Add", ["product", "kf"], ["sum"])],
    [("a", T.FLOAT, [None, 2]), ("b", T.FLOAT, [None, 2]), ("k", T.INT64, [None, 1])], [("sum", T.FLOAT, [None, 2]), ("product", T.FLOAT, [None, 2])])
save("several", several, {"a": rng.random((4, 2), dtype="float32"), "b": rng.random((4, 2), dtype="float32"), "k": np.arange(4).reshape(4, 1)})

# One row at a time: a batch that is fixed at one, and an answer that is a single value.
one = graph([h.make_node("MatMul", ["x", "w"], ["y"])], [("x", T.FLOAT, [1, 4])], [("y", T.FLOAT, [1, 2])], [("w", rng.random((4, 2), dtype="float32"))])
many = rng.random((5, 4), dtype="float32")
save("fixed_one", one, {"x": many[:1]})
scalar = graph([h.make_node("ReduceMean", ["x"], ["mean"], keepdims=0)], [("x", T.FLOAT, [1, 4])], [("mean", T.FLOAT, [])])
save("scalar", scalar, {"x": many[:1]})

# What converters write of scikit-learn, XGBoost and LightGBM.
iris, kinds = load_iris(return_X_y=True, as_frame=True)
iris.columns = ["a", "b", "c", "d"]
some = iris.sample(23, random_state=1)
sick, level = load_diabetes(return_X_y=True, as_frame=True)
as_float = lambda frame: frame.to_numpy().astype("float32")

forest = RandomForestClassifier(9, random_state=0).fit(iris, kinds)
for zipmap in (True, False):
    converted = to_onnx(forest, initial_types=[("X", FloatTensorType([None, 4]))], options={"zipmap": zipmap})
    save("forest_zipmap" if zipmap else "forest", converted, {"X": as_float(some)},
         signature=infer_signature(iris, forest.predict(iris)), frame=some, mlflows=zipmap)
names = RandomForestClassifier(5, random_state=0).fit(iris, kinds.map({0: "a", 1: "b", 2: "c"}))
save("names", to_onnx(names, initial_types=[("X", FloatTensorType([None, 4]))], options={"zipmap": False}), {"X": as_float(some)})
ridge = make_pipeline(StandardScaler(), Ridge()).fit(sick, level)
save("ridge", to_onnx(ridge, initial_types=[("X", FloatTensorType([None, 10]))]), {"X": as_float(sick.head(11))}, frame=sick.head(11), signature=infer_signature(sick, level))

mixed = pd.DataFrame({"city": ["bern", "oslo", "rome", "oslo"] * 10, "age": np.arange(40, dtype="float32"), "rate": np.linspace(0, 1, 40, dtype="float32")})
pipe = make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), (StandardScaler(), ["age", "rate"])), LogisticRegression())
pipe.fit(mixed, np.arange(40) % 3)
converted = to_onnx(pipe, initial_types=[("city", StringTensorType([None, 1])), ("age", FloatTensorType([None, 1])), ("rate", FloatTensorType([None, 1]))],
                    options={"zipmap": False})
few = mixed.head(7)
save("strings", converted, {c: few[[c]].to_numpy().astype("object" if c == "city" else "float32") for c in few.columns}, frame=few, mlflows=False,
     signature=infer_signature(mixed, pipe.predict(mixed)))

boosted = xgboost.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1).fit(iris.to_numpy(), kinds)
save("xgboost", onnxmltools.convert_xgboost(boosted, initial_types=[("X", MLFloat([None, 4]))]), {"X": as_float(some)})
leaves = lightgbm.LGBMRegressor(n_estimators=12, num_leaves=7, verbose=-1, n_jobs=1).fit(sick.to_numpy(), level)
save("lightgbm", onnxmltools.convert_lightgbm(leaves, initial_types=[("X", MLFloat([None, 10]))]), {"X": as_float(sick.head(15))})

# As many steps as it is told, whose answer has no dimension of rows.
body = h.make_graph(
    [h.make_node("Sin", ["a_in"], ["a_out"]), h.make_node("Identity", ["go_in"], ["go_out"])],
    "body",
    [h.make_tensor_value_info("i", T.INT64, []), h.make_tensor_value_info("go_in", T.BOOL, []), h.make_tensor_value_info("a_in", T.FLOAT, [64])],
    [h.make_tensor_value_info("go_out", T.BOOL, []), h.make_tensor_value_info("a_out", T.FLOAT, [64])])
steps = graph([h.make_node("Loop", ["n", "go", "a"], ["last"], body=body)], [("n", T.INT64, [1])], [("last", T.FLOAT, [64])],
              [("go", np.array(True)), ("a", rng.random(64, dtype="float32"))])
save("steps", steps, {"n": np.array([3])})
picks = graph([h.make_node("Gather", ["w", "at"], ["y"])], [("at", T.INT64, ["n"])], [("y", T.FLOAT, ["n"])], [("w", rng.random(4, dtype="float32"))])
save("picks", picks, {"at": np.array([0, 3, 1])})
