"""Models of MLflow's flavors, deployed as their owners would, answer what their own libraries answer."""

import importlib.metadata
import importlib.util
import os
import pathlib
import subprocess
import sys
import textwrap
import warnings

import conftest
import lightgbm
import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
import requests
import statsmodels.api as sm
import tritonclient.http
import tritonclient.utils
import xgboost
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

DEPLOY_SECONDS = 300  # the first builds an environment
# One environment for all, of what the tests themselves run with.
REQUIREMENTS = (pathlib.Path(__file__).parents[1] / "templates/xgboost/requirements.txt").read_text().split()
REQUIREMENTS += [f"{name}=={importlib.metadata.version(name)}" for name in ("lightgbm", "skops", "statsmodels")]

iris, kinds = load_iris(return_X_y=True, as_frame=True)
iris.columns = ["a", "b", "c", "d"]
sick, level = load_diabetes(return_X_y=True, as_frame=True)
mixed = pd.DataFrame({"city": ["bern", "oslo", "rome", "oslo"] * 10, "age": np.arange(40.0), "new": [True, False] * 20})

CATEGORIES = """
    import mlflow.pyfunc
    import pandas as pd
    import xgboost


    class Categories(mlflow.pyfunc.PythonModel):
        '''Gives XGBoost the names of categories, as it was trained with.'''

        def load_context(self, context):
            self.model = xgboost.XGBClassifier()
            self.model.load_model(context.artifacts["model"])

        def predict(self, context, model_input, params=None):
            return self.model.predict_proba(frame(model_input))[:, 1]


    def frame(rows):
        return rows.assign(city=pd.Categorical(rows["city"], categories=["bern", "oslo", "rome"]))
"""


def sklearn_regressor(to):
    model = Ridge().fit(sick, level)
    mlflow.sklearn.save_model(model, to, signature=infer_signature(sick, model.predict(sick)), pip_requirements=REQUIREMENTS)
    return sick.head(9), model.predict(sick.head(9))


def sklearn_classifier(to):
    model = HistGradientBoostingClassifier(max_iter=8).fit(iris, kinds)
    mlflow.sklearn.save_model(
        model, to, signature=infer_signature(iris, model.predict(iris)), pip_requirements=REQUIREMENTS, serialization_format="cloudpickle"
    )
    return iris.sample(20, random_state=2), model.predict(iris.sample(20, random_state=2))


def sklearn_pipeline_of_texts(to):
    model = make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"), Ridge())
    model.fit(mixed, np.arange(40.0))
    rows = mixed.head(7).assign(city=["bern", "oslo", "rome", "paris", "oslo", "", "bern"])
    mlflow.sklearn.save_model(model, to, signature=infer_signature(mixed, model.predict(mixed)), pip_requirements=REQUIREMENTS)
    return rows, model.predict(rows)


def xgboost_categories_in_code(to):
    code = pathlib.Path(to).parent / "categories.py"
    code.write_text(textwrap.dedent(CATEGORIES))
    spec = importlib.util.spec_from_file_location("categories", code)
    module = importlib.util.module_from_spec(spec)
    sys.modules["categories"] = module
    spec.loader.exec_module(module)
    model = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, enable_categorical=True)
    model.fit(module.frame(mixed), mixed["age"] % 4 > 1)
    saved = code.with_name("categories.ubj")
    model.save_model(saved)
    mlflow.pyfunc.save_model(
        to,
        python_model=module.Categories(),
        artifacts={"model": str(saved)},
        code_paths=[str(code)],
        signature=infer_signature(mixed, model.predict_proba(module.frame(mixed))[:, 1]),
        pip_requirements=REQUIREMENTS,
    )
    return mixed.tail(8), model.predict_proba(module.frame(mixed.tail(8)))[:, 1]


def lightgbm_classifier(to):
    model = lightgbm.LGBMClassifier(n_estimators=8, num_leaves=7, verbose=-1, n_jobs=1).fit(iris, kinds)
    mlflow.lightgbm.save_model(model, to, signature=infer_signature(iris, model.predict(iris)), pip_requirements=REQUIREMENTS)
    return iris.head(60).tail(20), model.predict(iris.head(60).tail(20))


def statsmodels_ols(to):
    model = sm.OLS(level, sick).fit()
    mlflow.statsmodels.save_model(model, to, signature=infer_signature(sick, model.predict(sick)), pip_requirements=REQUIREMENTS)
    return sick.head(9), model.predict(sick.head(9))


def onnx_graph(to):
    model = make_pipeline(Ridge()).fit(sick, level)
    graph = to_onnx(model, initial_types=[("rows", FloatTensorType([None, sick.shape[1]]))])
    mlflow.onnx.save_model(graph, to, signature=infer_signature(sick, level), pip_requirements=REQUIREMENTS)
    return sick.head(9), mlflow.pyfunc.load_model(to).predict(sick.head(9)).iloc[:, 0]


FLAVORS = [
    sklearn_regressor,
    sklearn_classifier,
    sklearn_pipeline_of_texts,
    xgboost_categories_in_code,
    lightgbm_classifier,
    statsmodels_ols,
    onnx_graph,
]


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A platform that finds uv and ONNX Runtime."""
    library = next((pathlib.Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi").glob("libonnxruntime.so.*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
        patch.setenv("ONNXRUNTIME_LIB", str(library))
        home = tmp_path_factory.mktemp("flavors") / "h"
        with conftest.running(home) as ready:
            yield ready["url"], pathlib.Path(ready["token_file"]).read_text().strip(), conftest.environment(home)


def deploy(directory, name, env):
    """Deploys the model in a directory, and waits until it serves."""
    (directory / "platform.yaml").write_text(
        "apiVersion: platform/v1\nkind: RealtimeModel\n"
        f"name: {name}\ntier: 4\nowner: {{team: risk}}\nmodel: {{source: ./model}}\nresources: {{cpu: 500m, memory: 1Gi}}\n"
    )
    command = [os.environ["PLATFORM"], "deploy", "--watch"]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=DEPLOY_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("flavor", FLAVORS, ids=lambda f: f.__name__)
def test_it_answers_what_its_library_answers(serving, flavor, tmp_path):
    url, token, env = serving
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows, want = flavor(str(tmp_path / "model"))
    name = flavor.__name__.replace("_", "-")
    deploy(tmp_path, name, env)
    body = '{"dataframe_split": %s}' % rows.to_json(orient="split", index=False, double_precision=15)
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    r = requests.post(f"{url}/endpoints/{name}/invocations", data=body, headers=headers, timeout=30)
    assert r.status_code == 200, r.text
    answers = r.json()["predictions"]
    if isinstance(answers[0], dict):
        answers = [next(iter(a.values())) for a in answers]
    np.testing.assert_allclose(np.ravel(answers), np.asarray(want, dtype="float64"), rtol=1e-6, atol=1e-6)


KINDS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "object"]


@pytest.fixture(scope="module")
def every_type(serving, tmp_path_factory):
    """An endpoint that takes a matrix of each element type, and gives it back."""
    url, token, env = serving
    code = {k: onnx.helper.np_dtype_to_tensor_dtype(np.dtype(k)) for k in KINDS}
    nodes = [onnx.helper.make_node("Identity", ["in_" + k], ["out_" + k]) for k in KINDS]
    values = [[onnx.helper.make_tensor_value_info(way + k, code[k], ["n", 3]) for k in KINDS] for way in ("in_", "out_")]
    graph = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "types", *values), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    directory = tmp_path_factory.mktemp("types")
    mlflow.onnx.save_model(graph, str(directory / "model"), pip_requirements=REQUIREMENTS)
    deploy(directory, "types", env)
    with tritonclient.http.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client, token


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_every_element_type_comes_back(every_type, binary):
    client, token = every_type
    inputs, want = [], {}
    for kind in KINDS:
        data = np.array([[1, 0, 1], [0, 1, 1]]).astype(kind)
        if kind == "object":
            data = np.array([["", "ä", "日本"], ["x" * 999, "\n", '"']], dtype=object)
        elif kind.startswith(("int", "uint")):
            data[0, 0], data[1, 2] = np.iinfo(kind).max, np.iinfo(kind).min
        elif kind.startswith("float"):
            data[0, 0], data[1, 2] = np.finfo(kind).max, np.finfo(kind).tiny
        want[kind] = data
        tensor = tritonclient.http.InferInput("in_" + kind, list(data.shape), tritonclient.utils.np_to_triton_dtype(data.dtype))
        inputs.append(tensor.set_data_from_numpy(data, binary_data=binary))
    outputs = [tritonclient.http.InferRequestedOutput("out_" + k, binary_data=binary) for k in KINDS]
    headers = {"Authorization": "Bearer " + token}  # the client writes into it
    answer = client.infer("types", inputs, outputs=outputs, headers=headers)
    for kind in KINDS:
        got = answer.as_numpy("out_" + kind)
        if kind == "object":
            got = np.array([v.decode() if isinstance(v, bytes) else v for v in got.ravel()], dtype=object).reshape(got.shape)
        assert got.dtype == want[kind].dtype
        np.testing.assert_array_equal(got, want[kind])
