"""Experiments, runs and what is logged to them."""

import json
import math
import pathlib

import matplotlib.figure
import mlflow
import mlflow.data
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import requests
import sklearn.linear_model
import xgboost
from conftest import MAJOR, acting, fresh, refused
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException


def test_set_experiment_makes_it_once(client, name):
    made = mlflow.set_experiment(name)
    assert mlflow.set_experiment(name).experiment_id == made.experiment_id
    assert made.lifecycle_stage == "active" and made.experiment_id.isdecimal()
    assert made.artifact_location == f"mlflow-artifacts:/{made.experiment_id}"
    assert client.get_experiment(made.experiment_id).name == name
    refused(lambda: client.create_experiment(name), "RESOURCE_ALREADY_EXISTS", name)
    assert client.get_experiment_by_name(name + "-") is None


def test_the_default_experiment_is_there(client):
    default = client.get_experiment("0")
    assert default.name == "Default" and client.get_experiment_by_name("Default").experiment_id == "0"
    run = client.create_run("0")
    assert client.get_run(run.info.run_id).info.experiment_id == "0"


def test_an_experiment_is_renamed_tagged_deleted_and_restored(client, name):
    id = client.create_experiment(name, tags={"cost.centre": "4711"})
    client.set_experiment_tag(id, "who", "ö ' \"")
    client.rename_experiment(id, name + " renamed")
    e = client.get_experiment(id)
    assert (e.name, e.tags) == (name + " renamed", {"cost.centre": "4711", "who": "ö ' \""})
    assert e.last_update_time >= e.creation_time > 0
    run = client.create_run(id)
    client.delete_experiment(id)
    assert client.get_experiment(id).lifecycle_stage == "deleted"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    with pytest.raises(MlflowException, match="deleted"):
        mlflow.set_experiment(name + " renamed")
    refused(lambda: client.create_run(id), "INVALID_PARAMETER_VALUE", "active")
    client.restore_experiment(id)
    assert client.get_experiment(id).lifecycle_stage == "active"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"


def test_experiments_are_searched(client, name):
    ids = [client.create_experiment(f"{name}/{w}", tags={"t": w}) for w in ("One", "two", "three")]
    client.delete_experiment(ids[2])

    def found(filter, view=ViewType.ACTIVE_ONLY, order=("name ASC",)):
        return [e.name.removeprefix(name + "/") for e in client.search_experiments(view, 100, filter, list(order))]

    mine = f"name LIKE '{name}/%'"
    assert found(mine) == ["One", "two"]
    assert found(mine, ViewType.ALL) == ["One", "three", "two"]
    assert found(mine, ViewType.DELETED_ONLY) == ["three"]
    assert found(f"name ILIKE '{name.upper()}/ONE'") == ["One"]
    assert found(f"name = '{name}/two'") == ["two"]
    assert found(mine + f" AND name != '{name}/two'") == ["One"]
    assert found(mine + " and tags.t = 'two'") == ["two"]
    assert found(mine + " AND tag.t LIKE '%n%'", ViewType.ALL) == ["One"]
    assert found(mine + " AND creation_time > 0 AND attribute.last_update_time >= 1") == ["One", "two"]
    assert found(mine, ViewType.ALL, ["creation_time DESC", "name DESC"])[-1] in ("One", "two", "three")
    assert found(mine, ViewType.ALL, ["experiment_id DESC"]) == ["three", "two", "One"]
    for bad in ("name = 1", "nosuch = 'x'", "name = 'a' OR name = 'b'", "name LIKE", "metrics.x = 1"):
        refused(lambda: client.search_experiments(filter_string=bad), "INVALID_PARAMETER_VALUE")
    refused(lambda: client.search_experiments(order_by=["nosuch"]), "INVALID_PARAMETER_VALUE")
    page, seen = client.search_experiments(ViewType.ALL, 2, mine, ["name ASC"]), []
    seen += [e.name for e in page]
    assert page.token
    last = client.search_experiments(ViewType.ALL, 2, mine, ["name ASC"], page.token)
    assert len({*seen, *(e.name for e in last)}) == 3 and not last.token


def test_a_run_has_what_was_logged(client):
    with mlflow.start_run(run_name="first", tags={"a": "1"}, description="text") as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"lr": 0.1, "name with space": "ünï", "empty": ""})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metric("loss", 0.25, step=2)
        mlflow.log_metrics({"auc": 0.9, "nested/key-1.x": 1, "whole": 7}, step=3)
        mlflow.set_tag("b", "2")
        mlflow.set_tags({"c": "3", "d": ""})
        mlflow.delete_tag("a")
        assert mlflow.active_run().info.run_id == run.info.run_id
    got = mlflow.get_run(run.info.run_id)
    assert got.data.params == {"depth": "3", "lr": "0.1", "name with space": "ünï", "empty": ""}
    assert got.data.metrics == {"loss": 0.25, "auc": 0.9, "nested/key-1.x": 1.0, "whole": 7.0}
    tags = {k: v for k, v in got.data.tags.items() if not k.startswith("mlflow.")}
    assert tags == {"b": "2", "c": "3", "d": ""}
    assert got.data.tags["mlflow.runName"] == got.info.run_name == "first"
    assert got.data.tags["mlflow.note.content"] == "text"
    assert (got.info.status, got.info.lifecycle_stage) == ("FINISHED", "active")
    assert got.info.end_time >= got.info.start_time > 0
    assert got.info.artifact_uri == f"mlflow-artifacts:/{got.info.experiment_id}/{got.info.run_id}/artifacts"


def test_runs_are_nested(client):
    with mlflow.start_run() as parent:
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("m", 1)
        with pytest.raises(ValueError, match="zero"), mlflow.start_run(nested=True) as failed:
            raise ValueError("zero")
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    assert mlflow.get_run(failed.info.run_id).info.status == "FAILED"
    below = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    found = client.search_runs([parent.info.experiment_id], below)
    assert {r.info.run_id for r in found} == {child.info.run_id, failed.info.run_id}
    with mlflow.start_run(run_id=parent.info.run_id):  # goes on with it
        mlflow.log_metric("later", 2)
    assert mlflow.get_run(parent.info.run_id).data.metrics == {"later": 2.0}


def test_a_run_is_deleted_and_restored(client, tmp_path):
    with mlflow.start_run() as run:
        mlflow.log_text("stays", "a.txt")
    id, experiment = run.info.run_id, run.info.experiment_id
    client.update_run(id, status="KILLED", name="renamed")
    client.delete_run(id)
    assert client.get_run(id).info.lifecycle_stage == "deleted"
    assert not client.search_runs([experiment])
    assert [r.info.run_id for r in client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)] == [id]
    refused(lambda: client.log_metric(id, "m", 1), "INVALID_PARAMETER_VALUE", "active")
    refused(lambda: client.log_param(id, "p", 1), "INVALID_PARAMETER_VALUE", "active")
    refused(lambda: client.set_tag(id, "t", 1), "INVALID_PARAMETER_VALUE", "active")
    client.restore_run(id)
    run = client.get_run(id)
    assert (run.info.lifecycle_stage, run.info.status, run.info.run_name) == ("active", "KILLED", "renamed")
    assert mlflow.artifacts.load_text(run.info.artifact_uri + "/a.txt") == "stays"
    refused(lambda: client.get_run("f" * 32), "RESOURCE_DOES_NOT_EXIST", "f" * 32)


def test_metrics_have_a_history(client):
    run = client.create_run(mlflow.set_experiment(fresh("history")).experiment_id).info.run_id
    values = [1.5, math.nan, math.inf, -math.inf, -0.0, 1e300]
    for step, v in enumerate(values):
        client.log_metric(run, "m", v, timestamp=1000 + step, step=step)
    client.log_metric(run, "m", 7, timestamp=5, step=-3)
    history = client.get_metric_history(run, "m")
    by_step = sorted(history, key=lambda m: m.step)
    assert [m.step for m in by_step] == [-3, 0, 1, 2, 3, 4, 5]
    assert [m.timestamp for m in by_step] == [5, 1000, 1001, 1002, 1003, 1004, 1005]
    assert math.isnan(by_step[2].value) and by_step[3].value > 1e300 > -1e300 > by_step[4].value
    assert [by_step[i].value for i in (0, 1, 5, 6)] == [7, 1.5, 0, 1e300]
    assert client.get_run(run).data.metrics == {"m": 1e300}
    assert client.get_metric_history(run, "none") == []
    client.log_batch(run, metrics=[Metric("long", i / 7, 1, i) for i in range(1000)])
    client.log_batch(run, metrics=[Metric("long", i / 7, 1, i) for i in range(999, 1999)])
    long = client.get_metric_history(run, "long")
    assert [m.value for m in sorted(long, key=lambda m: m.step)] == [i / 7 for i in range(1999)]


def test_a_batch_is_whole_or_not_at_all(client):
    run = mlflow.start_run().info.run_id
    metrics = [Metric(f"m{i}", i, 1, 0) for i in range(800)]
    client.log_batch(run, metrics, [Param(f"p{i}", str(i)) for i in range(100)], [RunTag(f"t{i}", str(i)) for i in range(100)])
    got = client.get_run(run).data
    assert len(got.metrics) == 800 and len(got.params) == 100 and got.tags["t99"] == "99"
    client.log_param(run, "p1", "1")  # the same again
    refused(lambda: client.log_param(run, "p1", "2"), "INVALID_PARAMETER_VALUE", "p1")
    bad = lambda: client.log_batch(run, [Metric("new", 1, 1, 0)], [Param("p2", "other")], [RunTag("new", "x")])  # noqa: E731
    refused(bad, "INVALID_PARAMETER_VALUE", "p2")
    after = client.get_run(run).data
    assert "new" not in after.metrics and "new" not in after.tags and after.params["p2"] == "2"


def test_limits_are_told(client, server):
    run = mlflow.start_run().info.run_id
    post = lambda path, body: requests.post(  # noqa: E731
        f"{server.url}/api/2.0/mlflow/runs/{path}", json=body, headers={"Authorization": "Bearer " + server.token}, timeout=10
    )
    many = [{"key": f"k{i}", "value": i, "timestamp": 1, "step": 0} for i in range(1001)]
    texts = [{"key": f"k{i}", "value": "v"} for i in range(101)]
    for path, body in {
        "more metrics than a batch may have": ("log-batch", {"metrics": many}),
        "more params": ("log-batch", {"params": texts}),
        "more tags": ("log-batch", {"tags": texts}),
        "a param twice": ("log-batch", {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}),
        "a long key": ("log-metric", {"key": "k" * 251, "value": 1, "timestamp": 1}),
        "a key that leads away": ("log-metric", {"key": "../k", "value": 1, "timestamp": 1}),
        "a key with a sign": ("set-tag", {"key": "a?b", "value": "1"}),
        "no value": ("log-metric", {"key": "k", "timestamp": 1}),
        "no number": ("log-metric", {"key": "k", "value": "many", "timestamp": 1}),
        "a time that is none": ("log-metric", {"key": "k", "value": 1, "timestamp": -1}),
        "no key": ("log-parameter", {"value": "1"}),
    }.values():
        answer = post(path, {"run_id": run, **body})
        assert answer.status_code == 400, (path, list(body), answer.text)
        assert answer.json()["error_code"] in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
    data = client.get_run(run).data
    assert not data.metrics and not data.params


RUNS = {
    "a": ({"auc": 0.9, "loss": 0.1}, {"lr": "0.1", "net": "Deep"}, {"stage": "prod", "cost centre": "x"}),
    "b": ({"auc": 0.8, "loss": math.nan}, {"lr": "0.01", "net": "deep"}, {"stage": "test"}),
    "c": ({"auc": math.inf}, {"lr": "0.1", "note": 'It\'s "so"'}, {"dot.ted": "y"}),
    "d": ({}, {}, {}),
}


@pytest.fixture(scope="module")
def runs(server):
    """An experiment with a few runs, which tests only read."""
    with acting(server) as c:
        id = c.create_experiment(fresh("searched"))
        for start, (name, (metrics, params, tags)) in enumerate(RUNS.items(), 1):
            run = c.create_run(id, start_time=start, run_name=name).info.run_id
            c.log_batch(
                run,
                [Metric(k, v, 1, 0) for k, v in metrics.items()],
                [Param(k, v) for k, v in params.items()],
                [RunTag(k, v) for k, v in tags.items()],
            )
            c.set_terminated(run, "FAILED" if name == "b" else "FINISHED", end_time=start * 1000)
            digest = DatasetInput(Dataset("set-" + name, "d" + name, "local", "{}"), [InputTag("mlflow.data.context", "train")])
            c.log_inputs(run, [digest])
        gone = c.create_run(id, start_time=9, run_name="gone").info.run_id
        c.delete_run(gone)
    return id


@pytest.mark.parametrize(
    "filter,found",
    [
        ("", "dcba"),
        ("metrics.auc > 0.85", "ca"),
        ("metric.auc >= 0.9 and params.lr = '0.1'", "ca"),
        ("metrics.auc < 0.9", "b"),
        ("metrics.auc != 0.9", "cb"),
        ("metrics.auc <= 8e-1", "b"),
        ("metrics.`loss` = 0.1", "a"),
        ("params.lr = '0.1'", "ca"),
        ("parameters.lr != '0.1'", "b"),
        ("param.net LIKE 'D%'", "a"),
        ("params.net ILIKE 'd_ep'", "ba"),
        ('params.note = "It\'s \\"so\\""', None),
        ("params.note LIKE 'It%so%'", "c"),
        ("tags.stage = 'prod'", "a"),
        ("tag.stage != 'prod'", "b"),
        ("tags.`cost centre` = 'x'", "a"),
        ('tags."dot.ted" = "y"', "c"),
        ("tags.dot.ted = 'y'", "c"),
        ("tags.mlflow.runName = 'd'", "d"),
        ("run_name = 'd'", "d"),
        ("attributes.`run name` LIKE '_'", "dcba"),
        ("attr.status = 'FAILED'", "b"),
        ("status != 'FAILED'", "dca"),
        ("attributes.start_time > 2", "dc"),
        ("start_time >= 2 AND end_time < 4000", "cb"),
        ("attributes.created = 1", "a"),
        ("attributes.artifact_uri LIKE 'mlflow-artifacts:%'", "dcba"),
        ("dataset.name = 'set-a'", "a"),
        ("datasets.digest IN ('da', 'db')", "ba"),
        ("dataset.context LIKE 'tr%'", "dcba"),
        ("dataset.name != 'set-a' AND metrics.auc > 0", "cb"),
        ("params.lr = '0.1' AND tags.stage LIKE '%o%' AND metrics.loss < 1 AND status = 'FINISHED'", "a"),
        ("tags.nosuch != 'x'", ""),
        ("params.net = 'DEEP'", ""),
        ("tags.stage = ''' OR 1=1 --'", None),
    ],
)
def test_runs_are_found(client, runs, filter, found):
    if found is None:  # what MLflow's parser makes of it is its own affair, but no error of the server
        try:
            assert len(client.search_runs([runs], filter)) <= 1
        except MlflowException as e:
            assert e.error_code == "INVALID_PARAMETER_VALUE", e
        return
    assert "".join(r.info.run_name for r in client.search_runs([runs], filter)) == found


@pytest.mark.parametrize(
    "filter",
    [
        "metrics.auc", "metrics.auc > 'x'", "params.lr > 1", "params.lr = 0.1", "metrics.auc = 1 OR metrics.auc = 2", "nosuch.x = '1'",
        "tags.x LIKE", "= 1", "(metrics.auc > 1)", "metrics.auc BETWEEN 1 AND 2", "status > 'A'", "nosuch = 'x'",
        "start_time = 'x'", "tags.a = 'unclosed", "metrics.auc >> 1", "dataset.nosuch = 'x'", "'a' = 'a'", "tags.a = 'b'; DROP TABLE run",
    ],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused(client, runs, filter):
    refused(lambda: client.search_runs([runs], filter), "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "order,found",
    [
        (["metrics.auc DESC"], "cabd"),
        (["metrics.auc"], "bacd"),
        (["metrics.loss ASC"], "abdc"),
        (["metrics.loss DESC"], "abdc"),
        (["params.lr ASC", "metrics.auc DESC"], "bcad"),
        (["tags.stage DESC"], "badc"),
        (["attributes.start_time ASC"], "abcd"),
        (["start_time DESC"], "dcba"),
        (["status", "run_name DESC"], "bdca"),
        (["attribute.end_time DESC"], "dcba"),
        (["tags.`cost centre`", "start_time"], "abcd"),
        (["params.nosuch", "run_name"], "abcd"),
    ],
)
def test_runs_are_ordered(client, runs, order, found):
    assert "".join(r.info.run_name for r in client.search_runs([runs], order_by=order)) == found


@pytest.mark.parametrize("order", [["nosuch"], ["metrics.auc UPWARDS"], ["metrics"], ["start_time; --"], [""]])
def test_an_order_that_is_none_is_refused(client, runs, order):
    refused(lambda: client.search_runs([runs], order_by=order), "INVALID_PARAMETER_VALUE")


def test_runs_come_in_pages(client, runs):
    token, seen = None, []
    while True:
        page = client.search_runs([runs], max_results=2, order_by=["metrics.auc DESC"], page_token=token)
        seen += [r.info.run_name for r in page]
        token = page.token
        if not token:
            break
    assert "".join(seen) == "cabd"
    refused(lambda: client.search_runs([runs], page_token="no token"), "INVALID_PARAMETER_VALUE")
    refused(lambda: client.search_runs([runs], max_results=50001), "INVALID_PARAMETER_VALUE")
    assert [r.info.run_name for r in client.search_runs([runs], run_view_type=ViewType.DELETED_ONLY)] == ["gone"]
    frame = mlflow.search_runs([runs], "metrics.auc > 0", order_by=["metrics.auc"])
    assert list(frame["params.lr"]) == ["0.01", "0.1", "0.1"] and list(frame["metrics.auc"])[:2] == [0.8, 0.9]
    id = next(r.info.run_id for r in client.search_runs([runs], "run_name = 'b'"))
    assert [r.info.run_name for r in client.search_runs([runs], f"run_id = '{id}'")] == ["b"]
    assert [r.info.run_name for r in client.search_runs([runs], f"attributes.run_id IN ('{id}', 'x')")] == ["b"]
    assert len(client.search_runs([runs], f"attributes.run_id NOT IN ('{id}')")) == 3


@pytest.mark.ours
def test_a_token_of_another_query_is_refused(client, runs):
    token = client.search_runs([runs], max_results=2).token
    refused(lambda: client.search_runs([runs], "metrics.auc > 0", max_results=2, page_token=token), "INVALID_PARAMETER_VALUE")
    refused(lambda: client.search_experiments(page_token=token), "INVALID_PARAMETER_VALUE")


def test_artifacts_come_back_as_they_were(client, tmp_path):
    odd = "nöte & +1.txt"  # what else there may be, the clients themselves mistake
    (tmp_path / "up" / "deep").mkdir(parents=True)
    (tmp_path / "up" / "one.bin").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "up" / "deep" / odd).write_text("percent")
    (tmp_path / "up" / "empty").write_bytes(b"")
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    figure = matplotlib.figure.Figure()
    figure.subplots().plot([1, 2], [3, 4])
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(tmp_path / "up" / "one.bin"))
        mlflow.log_artifact(str(tmp_path / "up" / "one.bin"), "again/and")
        mlflow.log_artifacts(str(tmp_path / "up"), "tree")
        mlflow.log_dict({"k": [1, None, "ü"]}, "dict.json")
        mlflow.log_dict({"k": 1}, "conf/dict.yaml")
        mlflow.log_text("text\n", "text.txt")
        mlflow.log_figure(figure, "figure.png")
        mlflow.log_image(np.zeros((4, 4, 3), np.uint8), "image.png")
        mlflow.log_table(table, "table.json")
        mlflow.log_table(table, "table.json")  # appends
    id, uri = run.info.run_id, run.info.artifact_uri
    listed = {(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(id)}
    assert {("again", True, None), ("tree", True, None), ("one.bin", False, 256000), ("text.txt", False, 5)} <= listed
    below = [(f.path, f.is_dir, f.file_size or 0) for f in client.list_artifacts(id, "tree")]
    assert below == [("tree/deep", True, 0), ("tree/empty", False, 0), ("tree/one.bin", False, 256000)]
    assert client.list_artifacts(id, "tree/deep/nosuch") == [] == client.list_artifacts(id, "text.txt")
    whole = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=id, dst_path=str(tmp_path / "down")))
    for f in ("one.bin", f"deep/{odd}", "empty"):
        assert (whole / "tree" / f).read_bytes() == (tmp_path / "up" / f).read_bytes()
    assert (whole / "again" / "and" / "one.bin").stat().st_size == 256000
    one = pathlib.Path(mlflow.artifacts.download_artifacts(artifact_uri=f"runs:/{id}/tree/one.bin"))
    assert one.read_bytes() == bytes(range(256)) * 1000
    assert mlflow.artifacts.load_dict(uri + "/dict.json") == {"k": [1, None, "ü"]}
    assert mlflow.artifacts.load_text(uri + "/text.txt") == "text\n"
    assert mlflow.artifacts.load_image(uri + "/image.png").size == (4, 4)
    assert list(mlflow.load_table("table.json", [id])["a"]) == [1, 2, 1, 2]
    assert json.loads((whole / "table.json").read_text())["columns"] == ["a", "b"]
    assert [f.path for f in mlflow.artifacts.list_artifacts(run_id=id, artifact_path="conf")] == ["conf/dict.yaml"]
    client.log_text(id, "changed", "text.txt")
    assert mlflow.artifacts.load_text(uri + "/text.txt") == "changed"
    with pytest.raises(Exception, match="nosuch"):
        mlflow.artifacts.download_artifacts(run_id=id, artifact_path="nosuch.txt", dst_path=str(tmp_path))


@pytest.mark.skipif(MAJOR < 3, reason="2.x gives images names with %, which its client and servers unescape differently")
def test_images_of_steps_keep_their_names(client, tmp_path):
    """Their names hold +, which addresses must not mistake for a blank."""
    with mlflow.start_run() as run:
        mlflow.log_image(np.full((4, 4, 3), 7, np.uint8), key="dog", step=20, timestamp=100, synchronous=True)
    names = [f.path for f in client.list_artifacts(run.info.run_id, "images")]
    assert len(names) == 2 and all(n.startswith("images/dog") for n in names)
    local = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="images", dst_path=str(tmp_path)))
    assert sorted(p.name for p in local.iterdir()) == sorted(n.removeprefix("images/") for n in names)


@pytest.mark.ours
def test_a_large_file_goes_and_comes_in_parts(client, tmp_path, monkeypatch):
    for name, value in {
        "ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
        "MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(5 << 20),
        "MULTIPART_UPLOAD_CHUNK_SIZE": str(5 << 20),
        "MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": str(5 << 20),
        "MULTIPART_DOWNLOAD_CHUNK_SIZE": str(5 << 20),
    }.items():
        monkeypatch.setenv("MLFLOW_" + name, value)
    (tmp_path / "large.bin").write_bytes(np.random.default_rng(1).bytes((12 << 20) + 17))
    run = mlflow.start_run().info
    client.log_artifact(run.run_id, str(tmp_path / "large.bin"), "deep/dir")
    assert [(f.path, f.file_size) for f in client.list_artifacts(run.run_id, "deep/dir")] == [("deep/dir/large.bin", (12 << 20) + 17)]
    got = mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="deep/dir/large.bin", dst_path=str(tmp_path / "down"))
    assert pathlib.Path(got).read_bytes() == (tmp_path / "large.bin").read_bytes()


def send(server, method, url):
    """Send a request to exactly this URL: requests would tidy it up."""
    request = requests.Request(method, url, headers={"Authorization": "Bearer " + server.token}, data=b"x" if method == "PUT" else None).prepare()
    request.url = url
    with requests.Session() as s:
        return s.send(request, timeout=10, allow_redirects=False)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_path_leads_out_of_the_artifacts(client, server, method):
    run = mlflow.start_run().info
    below = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{run.experiment_id}/{run.run_id}/artifacts/"
    for path in ("../x", "a/../../x", "%2e%2e/x", "%252e%252e%252fx", "a%2f..%2fx", "%25252e%25252e/x"):
        assert 300 <= send(server, method, below + path).status_code < 500, path
    for path in ("..%5cx", "/etc/passwd", "%2Fetc%2Fpasswd", "x%00y", "%ff", "C:%5cx", "x%23y", "x?path=../y"):
        assert send(server, method, below + path).status_code < 500, path


def test_inputs_are_kept(client):
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    data = mlflow.data.from_pandas(frame, source="https://example.com/train.csv", name="train", targets="y")
    with mlflow.start_run() as run:
        mlflow.log_input(data, context="training", tags={"cut": "2026"})
        mlflow.log_input(data, context="training")
        mlflow.log_input(mlflow.data.from_numpy(np.ones((2, 2)), name="eval"), context="eval")
    inputs = client.get_run(run.info.run_id).inputs.dataset_inputs
    got = {i.dataset.name: (i.dataset, {t.key: t.value for t in i.tags}) for i in inputs}
    assert set(got) == {"train", "eval"} and len(inputs) == 2
    dataset, tags = got["train"]
    assert dataset.digest == data.digest and json.loads(dataset.source)["url"] == "https://example.com/train.csv"
    assert tags["mlflow.data.context"] == "training" and tags["cut"] == "2026"
    assert json.loads(dataset.profile) == {"num_rows": 2, "num_elements": 4} and "mlflow_colspec" in dataset.schema


@pytest.fixture
def autologged():
    yield
    for flavor in (mlflow.sklearn, mlflow.xgboost):
        flavor.autolog(disable=True)


FRAME = pd.DataFrame(np.random.default_rng(7).normal(size=(60, 3)), columns=["a", "b", "c"])
LABELS = (FRAME["a"] + FRAME["b"] > 0).astype(int)


@pytest.fixture
def quick(monkeypatch):
    """Autologging looks for what a model needs by loading it in another process, which takes seconds."""
    monkeypatch.setattr("mlflow.models.infer_pip_requirements", lambda *_, **__: [])


def test_autolog_of_scikit_learn(client, autologged, quick):
    mlflow.sklearn.autolog(log_input_examples=True)
    with mlflow.start_run() as run:
        model = sklearn.linear_model.LogisticRegression(C=0.5).fit(FRAME, LABELS)
    got = client.get_run(run.info.run_id)
    assert got.data.params["C"] == "0.5" and got.data.metrics["training_accuracy_score"] > 0.8
    assert got.data.tags["estimator_name"] == "LogisticRegression"
    assert got.inputs.dataset_inputs
    assert "estimator.html" in {f.path for f in client.list_artifacts(run.info.run_id)}
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    np.testing.assert_array_equal(loaded.predict(FRAME), model.predict(FRAME))


def test_autolog_of_xgboost(client, autologged, quick):
    mlflow.xgboost.autolog(model_format="json")
    with mlflow.start_run() as run:
        d = xgboost.DMatrix(FRAME, LABELS)
        model = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, d, 10, evals=[(d, "train")], verbose_eval=False)
    got = client.get_run(run.info.run_id)
    assert got.data.params["max_depth"] == "2" and got.data.params["num_boost_round"] == "10"
    history = client.get_metric_history(run.info.run_id, "train-logloss")
    assert sorted({m.step for m in history}) == list(range(10))
    assert "feature_importance_weight.json" in {f.path for f in client.list_artifacts(run.info.run_id)}
    loaded = mlflow.xgboost.load_model(f"runs:/{run.info.run_id}/model")
    np.testing.assert_array_equal(loaded.predict(d), model.predict(d))


def test_raw_calls_speak_the_protocol(client, server):
    """What a client of another language may send: numbers as text, camel case, enums as numbers, double encoding."""
    headers = {"Authorization": "Bearer " + server.token, "Content-Type": "application/json"}
    base = server.url + "/api/2.0/mlflow/"
    id = mlflow.set_experiment(fresh("raw")).experiment_id

    def post(path, body, status=200):
        answer = requests.post(base + path, data=body if isinstance(body, str) else json.dumps(body), headers=headers, timeout=10)
        assert answer.status_code == status, answer.text
        return answer.json()

    info = post("runs/create", {"experimentId": id, "startTime": "123", "unknown": {"field": 1}})["run"]["info"]
    assert info["start_time"] == 123 and info["run_id"] == info["run_uuid"]
    post("runs/update", json.dumps(json.dumps({"run_uuid": info["run_id"], "status": 3, "end_time": 456})))
    post("runs/log-metric", {"run_uuid": info["run_id"], "key": "m", "value": "NaN", "timestamp": "1"})
    answer = requests.get(base + "runs/get", {"run_id": info["run_id"]}, headers=headers, timeout=10).json()["run"]
    assert answer["info"]["status"] == "FINISHED" and answer["info"]["end_time"] == 456
    assert answer["data"]["metrics"] == [{"key": "m", "value": "NaN", "timestamp": 1, "step": 0}] or MAJOR > 2
    found = post("runs/search", {"experiment_ids": [id], "max_results": 5, "run_view_type": "ALL"})
    assert [r["info"]["run_id"] for r in found["runs"]] == [info["run_id"]]
    missing = post("runs/log-param" + "eter", {"run_id": info["run_id"]}, 400)
    assert missing["error_code"] == "INVALID_PARAMETER_VALUE" and "'key'" in missing["message"]
    assert requests.get(base + "no/such", headers=headers, timeout=10).status_code == 404
    assert requests.get(server.url + "/health", timeout=10).text == "OK"
    assert int(requests.get(server.url + "/version", timeout=10).text.split(".")[0]) >= 2
    assert requests.get(server.url + "/ajax-api/2.0/mlflow/runs/get", {"run_id": info["run_id"]}, headers=headers, timeout=10).ok
