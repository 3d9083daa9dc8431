"""Models: logged, registered, found, loaded; and their answers are those of the model that was logged."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import lightgbm
import mlflow
import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import onnx
import onnx.helper
import pandas as pd
import pytest
import requests
import sklearn.linear_model
import xgboost
from conftest import MAJOR, acting, fresh, log, refused
from mlflow.exceptions import MlflowException

FRAME = pd.DataFrame(np.random.default_rng(3).normal(size=(50, 3)), columns=["a", "b", "c"])
LABELS = (FRAME["a"] - FRAME["b"] > 0).astype(int)


class Adds(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.sum(axis=1) + 1


def graph():
    """y = x·w + 1, as ONNX."""
    w = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [3, 1], [1.0, 2.0, 3.0])
    b = onnx.helper.make_tensor("b", onnx.TensorProto.FLOAT, [1], [1.0])
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 3])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1])
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["xw"]), onnx.helper.make_node("Add", ["xw", "b"], ["y"])]
    made = onnx.helper.make_graph(nodes, "line", [x], [y], [w, b])
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


FLAVORS = {
    "sklearn": (mlflow.sklearn, lambda: sklearn.linear_model.LinearRegression().fit(FRAME, LABELS), lambda m: m.predict(FRAME)),
    "xgboost": (mlflow.xgboost, lambda: xgboost.XGBRegressor(n_estimators=5).fit(FRAME, LABELS), lambda m: m.predict(FRAME)),
    "lightgbm": (
        mlflow.lightgbm,
        lambda: lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(FRAME, LABELS),
        lambda m: m.predict(FRAME),
    ),
    "onnx": (mlflow.onnx, graph, lambda m: FRAME.to_numpy("float32") @ np.array([[1], [2], [3]], "float32") + 1),
    "pyfunc": (mlflow.pyfunc, Adds, lambda m: m.predict(None, FRAME)),
}


def answers(uri, flavor=""):
    frame = FRAME.astype("float32").to_numpy() if flavor == "onnx" else FRAME
    got = mlflow.pyfunc.load_model(uri).predict(frame)
    return np.asarray(next(iter(got.values())) if isinstance(got, dict) else got)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_model_answers_the_same_from_every_address(client, name, flavor):
    module, make, predict = FLAVORS[flavor]
    model = make()
    want = np.asarray(predict(model))
    with mlflow.start_run() as run:
        info = log(module, model, "model", registered_model_name=name, signature=None if flavor == "onnx" else mlflow.models.infer_signature(FRAME, want))
    client.set_registered_model_alias(name, "champion", 1)
    uris = [info.model_uri, f"runs:/{run.info.run_id}/model", f"models:/{name}/1", f"models:/{name}@champion", f"models:/{name}/latest"]
    for uri in uris:
        np.testing.assert_allclose(answers(uri, flavor), want, rtol=1e-5, err_msg=uri)
    version = client.get_model_version(name, "1")
    assert (str(version.version), version.status, version.run_id) == ("1", "READY", run.info.run_id)
    assert client.get_model_version_download_uri(name, "1")
    local = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{name}/1"))
    assert (local / "MLmodel").is_file() and (local / "requirements.txt").is_file()
    assert mlflow.models.get_model_info(f"models:/{name}@champion").flavors.keys() >= {"python_function"}


@pytest.fixture(scope="module")
def logged(server):
    """A run with a model, which tests only read: its id, the address of the model, what it answers."""
    with acting(server):
        mlflow.set_experiment(fresh("logged"))
        model = sklearn.linear_model.LinearRegression().fit(FRAME, LABELS)
        with mlflow.start_run() as run:
            mlflow.log_metric("auc", 0.9)
            info = log(mlflow.sklearn, model, "model", signature=mlflow.models.infer_signature(FRAME, model.predict(FRAME)))
    return run.info.run_id, info.model_uri, model.predict(FRAME)


def test_a_model_is_registered_again_and_again(client, name, logged):
    run, uri, want = logged
    first = mlflow.register_model(f"runs:/{run}/model", name, tags={"t": "1"})
    second = mlflow.register_model(uri, name)
    assert [str(v.version) for v in (first, second)] == ["1", "2"]
    assert first.run_id == run == client.get_model_version(name, "2").run_id
    assert client.get_model_version(name, "1").tags == {"t": "1"}
    np.testing.assert_allclose(answers(f"models:/{name}/2"), want)
    if MAJOR > 2:
        with pytest.raises(MlflowException):
            mlflow.register_model(f"runs:/{run}/nosuch", name)
    assert {str(v.version) for v in client.search_model_versions(f"name='{name}'")} == {"1", "2"}


@pytest.mark.skipif(MAJOR < 3, reason="models of their own came with 3")
def test_a_logged_model_is_registered_by_its_id(client, name, logged):
    run, uri, want = logged
    id = uri.removeprefix("models:/")
    assert id.startswith("m-")
    version = mlflow.register_model(f"models:/{id}", name)
    assert version.source == f"models:/{id}" and version.run_id == run
    model = client.get_logged_model(id)
    assert model.source_run_id == run and str(model.status) == "READY"
    assert {m.key: m.value for m in model.metrics} == {"auc": 0.9}
    assert name in model.tags["mlflow.modelVersions"]
    assert client.get_run(run).outputs.model_outputs[0].model_id == id
    np.testing.assert_allclose(answers(f"models:/{id}"), want)


@pytest.mark.skipif(MAJOR < 3, reason="models of their own came with 3")
def test_logged_models_are_searched_tagged_and_deleted(client):
    experiment = mlflow.set_experiment(fresh("own")).experiment_id
    models = {}
    for n, kind in (("one", "tree"), ("two", "net"), ("three", "tree")):
        params = {f"p{i}": str(i) for i in range(150 if n == "one" else 1)}
        m = models[n] = mlflow.initialize_logged_model(n, tags={"n": n}, params=params, model_type=kind)
        assert str(m.status) == "PENDING"
        with mlflow.start_run():
            mlflow.log_metric("auc", len(n) / 10, model_id=m.model_id, step=3)
        mlflow.finalize_logged_model(m.model_id, "FAILED" if n == "three" else "READY")
    assert len(client.get_logged_model(models["one"].model_id).params) == 150

    def found(filter=None, **kw):
        return [m.name for m in mlflow.search_logged_models([experiment], filter, output_format="list", **kw)]

    name_order = [{"field_name": "name"}]
    assert found() == ["three", "two", "one"]
    assert found("name = 'two'") == ["two"]
    assert found("model_type = 'tree'", order_by=name_order) == ["one", "three"]
    assert found("attributes.name LIKE 't%'", order_by=name_order) == ["three", "two"]
    assert found("metrics.auc >= 0.5") == ["three"]
    assert found("metrics.auc < 0.5 AND params.p0 = '0'", order_by=[{"field_name": "metrics.auc"}, *name_order]) == ["one", "two"]
    assert found("tags.n != 'one'", order_by=[{"field_name": "creation_timestamp"}]) == ["two", "three"]
    assert found("name IN ('one', 'three')", order_by=[{"field_name": "name", "ascending": False}]) == ["three", "one"]
    assert found("params.p149 = '149'") == ["one"]
    assert found(max_results=2) == ["three", "two"]
    page = client.search_logged_models([experiment], max_results=2)
    assert page.token and [m.name for m in client.search_logged_models([experiment], max_results=2, page_token=page.token)] == ["one"]
    for bad in ("nosuch = 'x'", "metrics.auc > 'x'", "name > 'a'", "name = 'a' OR name = 'b'"):
        refused(lambda: found(bad), "INVALID_PARAMETER_VALUE")
    with pytest.raises(MlflowException, match="(?i)token"):
        client.search_logged_models([experiment], "name = 'two'", max_results=2, page_token=page.token)
    id = models["two"].model_id
    client.set_logged_model_tags(id, {"x": "1", "y": "2"})
    client.delete_logged_model_tag(id, "x")
    assert client.get_logged_model(id).tags["y"] == "2" and "x" not in client.get_logged_model(id).tags
    client.delete_logged_model(id)
    assert found(order_by=name_order) == ["one", "three"]
    refused(lambda: client.get_logged_model(id), "RESOURCE_DOES_NOT_EXIST")


def test_registered_models_are_made_changed_and_removed(client, name):
    made = client.create_registered_model(name, {"a": "1"}, "about it")
    assert (made.name, made.description, made.tags) == (name, "about it", {"a": "1"})
    assert made.creation_timestamp > 0
    refused(lambda: client.create_registered_model(name), "RESOURCE_ALREADY_EXISTS")
    client.set_registered_model_tag(name, "b", "2")
    client.delete_registered_model_tag(name, "a")
    client.delete_registered_model_tag(name, "nosuch")
    client.update_registered_model(name, "other text")
    got = client.get_registered_model(name)
    assert (got.tags, got.description) == ({"b": "2"}, "other text")
    version = client.create_model_version(name, "s3://bucket/model", tags={"v": "1"}, description="from elsewhere")
    assert (str(version.version), version.source, version.current_stage) == ("1", "s3://bucket/model", "None")
    client.update_model_version(name, "1", "changed")
    client.set_model_version_tag(name, "1", "w", "2")
    client.delete_model_version_tag(name, "1", "v")
    version = client.get_model_version(name, "1")
    assert (version.description, version.tags) == ("changed", {"w": "2"})
    assert client.get_model_version_download_uri(name, "1") == "s3://bucket/model"
    new = name + "-new"
    client.rename_registered_model(name, new)
    assert client.get_model_version(new, "1").tags == {"w": "2"}
    refused(lambda: client.get_registered_model(name), "RESOURCE_DOES_NOT_EXIST", name)
    client.create_model_version(new, "s3://bucket/2")
    client.delete_model_version(new, "2")
    refused(lambda: client.get_model_version(new, "2"), "RESOURCE_DOES_NOT_EXIST")
    assert str(client.create_model_version(new, "s3://bucket/3").version) == "3"  # a number is not given twice
    client.delete_registered_model(new)
    assert not client.search_model_versions(f"name='{new}'")
    with pytest.raises(MlflowException):
        client.get_registered_model(new)
    for bad in ("", "  ", "a/b", "a:b", "a" * 257):
        refused(lambda: client.create_registered_model(bad), "INVALID_PARAMETER_VALUE")


def test_an_alias_points_at_one_version(client, name):
    client.create_registered_model(name)
    for i in (1, 2, 3):
        client.create_model_version(name, f"s3://bucket/{i}")
    client.set_registered_model_alias(name, "champion", 1)
    client.set_registered_model_alias(name, "best_1-x", "1")
    client.set_registered_model_alias(name, "champion", "2")
    assert {a: str(v) for a, v in client.get_registered_model(name).aliases.items()} == {"champion": "2", "best_1-x": "1"}
    by_alias = client.get_model_version_by_alias(name, "champion")
    assert (str(by_alias.version), list(by_alias.aliases)) == ("2", ["champion"])
    assert str(client.get_model_version_by_alias(name, "latest").version) == "3"
    client.delete_registered_model_alias(name, "champion")
    client.delete_registered_model_alias(name, "champion")
    for call in (
        lambda: client.get_model_version_by_alias(name, "champion"),
        lambda: client.set_registered_model_alias(name, "v7", "1"),
        lambda: client.set_registered_model_alias(name, "Latest", "1"),
        lambda: client.set_registered_model_alias(name, "a b", "1"),
        lambda: client.set_registered_model_alias(name, "", "1"),
    ):
        refused(call, "INVALID_PARAMETER_VALUE")
    refused(lambda: client.set_registered_model_alias(name, "champion", "9"), "RESOURCE_DOES_NOT_EXIST")
    client.delete_model_version(name, "1")
    assert not client.get_registered_model(name).aliases


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_stages_still_work(client, name):
    client.create_registered_model(name)
    for i in (1, 2, 3):
        client.create_model_version(name, f"s3://bucket/{i}")
    assert client.transition_model_version_stage(name, "1", "production").current_stage == "Production"
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    client.transition_model_version_stage(name, "3", "Staging")
    stages = {str(v.version): v.current_stage for v in client.search_model_versions(f"name='{name}'")}
    assert stages == {"1": "Archived", "2": "Production", "3": "Staging"}
    assert {str(v.version) for v in client.get_latest_versions(name)} == {"1", "2", "3"}
    assert [str(v.version) for v in client.get_latest_versions(name, ["Production"])] == ["2"]
    assert {v.current_stage for v in client.get_registered_model(name).latest_versions} == {"Archived", "Production", "Staging"}
    for call in (
        lambda: client.transition_model_version_stage(name, "1", "Nowhere"),
        lambda: client.transition_model_version_stage(name, "1", "Archived", archive_existing_versions=True),
    ):
        refused(call, "INVALID_PARAMETER_VALUE")


def test_registered_models_are_searched(client, name):
    for n, tags in (("A", {"t": "x"}), ("b", {"t": "y"}), ("c", {}), ("d", {"t": "x", "u": "z"})):
        client.create_registered_model(f"{name}.{n}", tags)

    def found(filter, order=("name ASC",), **kw):
        models = client.search_registered_models(f"name LIKE '{name}.%'" + filter, order_by=list(order), **kw)
        return "".join(m.name.removeprefix(name + ".") for m in models)

    assert found("") == "Abcd"
    assert found(f" AND name != '{name}.b'") == "Acd"
    assert found(" and name ILIKE '%.a'") == "A"
    assert found(" AND tags.t = 'x'") == "Ad"
    assert found(" AND tag.t != 'x'") == "b"
    assert found(" AND tags.`t` LIKE '_' AND tags.u ILIKE 'Z'") == "d"
    assert found("", ["name DESC"]) == "dcbA"
    assert found("", ["last_updated_timestamp DESC", "name"])
    client.update_registered_model(f"{name}.b", "later")
    assert found("", ["last_updated_timestamp DESC"])[0] == "b"
    page = client.search_registered_models(f"name LIKE '{name}.%'", 3)
    rest = client.search_registered_models(f"name LIKE '{name}.%'", 3, page_token=page.token)
    assert len(page) == 3 and len(rest) == 1 and not rest.token
    for bad in ("nosuch = 'x'", "name = 1", "name > 'a'", "name = 'a' OR name = 'b'", "metrics.x = 1", "name ="):
        refused(lambda: client.search_registered_models(bad), "INVALID_PARAMETER_VALUE")
    with pytest.raises(MlflowException):
        client.search_registered_models(order_by=["nosuch"])
    with pytest.raises(MlflowException):
        client.search_registered_models(page_token="no token")


def test_versions_are_searched(client, name):
    runs = [client.create_run("0").info.run_id for _ in range(2)]
    client.create_registered_model(name)
    for i, run in enumerate([runs[0], runs[1], None], 1):
        client.create_model_version(name, f"s3://bucket/{i}", run, {"n": str(i)} if i < 3 else {})

    def found(filter, order=("version_number ASC",)):
        return "".join(str(v.version) for v in client.search_model_versions(f"name = '{name}'" + filter, order_by=list(order)))

    assert found("") == "123"
    assert found("", ["version_number DESC"]) == "321"
    assert found(f" AND run_id = '{runs[1]}'") == "2"
    assert found(f" AND run_id IN ('{runs[0]}', '{runs[1]}')") == "12"
    assert found(" AND source_path = 's3://bucket/3'") == "3"
    assert found(" AND source_path LIKE 's3://%'") == "123"
    assert found(" AND version_number >= 2") == "23"
    assert found(" AND version_number = 2") == "2"
    assert found(" AND tags.n = '1'") == "1"
    assert found(" AND tags.n != '1'") == "2"
    assert found(" AND tag.n LIKE '%'") == "12"
    assert found("", ["creation_timestamp ASC", "version_number DESC"])
    assert str(client.search_model_versions(f"run_id = '{runs[0]}'")[0].version) == "1"
    client.update_model_version(name, "1", "touched")
    assert found("", [])[0] == "1"  # the one that was changed last comes first
    page = client.search_model_versions(f"name = '{name}'", 2)
    assert page.token and len(client.search_model_versions(f"name = '{name}'", 2, page_token=page.token)) == 1
    for bad in ("nosuch = 'x'", "version_number = 'x'", "name > 'a'", "name = 'a' OR name = 'b'"):
        refused(lambda: client.search_model_versions(bad), "INVALID_PARAMETER_VALUE")


def test_a_version_is_copied(client, name, logged):
    run, _, want = logged
    first = mlflow.register_model(f"runs:/{run}/model", name)
    copy = client.copy_model_version(f"models:/{name}/1", name + "-copy")
    assert (copy.name, str(copy.version)) == (name + "-copy", "1")
    assert copy.source == f"models:/{name}/1"
    client.set_registered_model_alias(name, "champion", first.version)
    again = client.copy_model_version(f"models:/{name}@champion", name + "-copy")
    assert str(again.version) == "2"
    client.delete_registered_model(name)
    np.testing.assert_allclose(answers(f"models:/{name}-copy/2"), want)


@pytest.mark.ours  # the peer asks the name service for the receiver
@pytest.mark.skipif(MAJOR < 3, reason="webhooks came with 3")
def test_webhooks_are_made_changed_and_removed(client, name):
    from mlflow.entities.webhook import WebhookEvent, WebhookStatus

    name, events = name[-40:], [WebhookEvent.from_str("model_version.created")]
    made = client.create_webhook(name, "https://example.com/hook", events, "about it", secret="not to be seen")
    assert (made.name, made.url, made.events, made.description, made.secret) == (name, "https://example.com/hook", events, "about it", None)
    assert made.status == WebhookStatus.ACTIVE and made.creation_timestamp > 0
    assert name in {w.name for w in client.list_webhooks(max_results=1000)}
    more = [*events, WebhookEvent.from_str("model_version_alias.created")]
    changed = client.update_webhook(made.webhook_id, events=more, status=WebhookStatus.DISABLED)
    assert set(map(str, changed.events)) == set(map(str, more)) and changed.status == WebhookStatus.DISABLED and changed.url == made.url
    assert client.get_webhook(made.webhook_id).name == name
    refused(lambda: client.update_webhook(made.webhook_id, url="ftp://example.com"), "INVALID_PARAMETER_VALUE")
    client.delete_webhook(made.webhook_id)
    refused(lambda: client.get_webhook(made.webhook_id), "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.ours
def test_a_version_does_not_change(client, name):
    """MLflow's versions point at files that anybody may write later; ours are what was registered."""
    with mlflow.start_run() as run:
        mlflow.log_dict({"flavors": {}}, "model/MLmodel")
        mlflow.log_text("as registered", "model/weights.txt")
    client.create_registered_model(name)
    client.create_model_version(name, run.info.artifact_uri + "/model", run.info.run_id)
    client.log_text(run.info.run_id, "written later", "model/weights.txt")
    client.log_text(run.info.run_id, "new", "model/other.txt")
    local = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{name}/1"))
    assert (local / "weights.txt").read_text() == "as registered"
    assert not (local / "other.txt").exists()


def test_mlflow_serves_from_our_address(client, server, name, logged, tmp_path):
    run, uri, want = logged
    mlflow.register_model(uri, name)
    client.set_registered_model_alias(name, "champion", 1)
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    env = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": server.url}
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}@champion", "--env-manager", "local", "-p", str(port)]
    with (tmp_path / "log").open("wb") as out:
        served = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 300
        while True:
            try:
                if requests.get(url + "/ping", timeout=5).ok:
                    break
            except requests.ConnectionError:
                pass
            assert served.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        body = {"dataframe_split": FRAME.to_dict(orient="split")}
        answer = requests.post(url + "/invocations", json=body, timeout=30)
        np.testing.assert_allclose(answer.json()["predictions"], want)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(served.pid, signal.SIGTERM)
        served.wait(30)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
