"""Who may come in, and what each team sees: nothing of another's, by whatever way it asks."""

import base64
import contextlib
import textwrap

import mlflow
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import requests
import xgboost
from conftest import MAJOR, acting, fresh, log, refused
from mlflow.entities import Metric, ViewType
from mlflow.exceptions import MlflowException

pytestmark = pytest.mark.ours
FRAME = pd.DataFrame(np.random.default_rng(5).normal(size=(40, 3)), columns=["a", "b", "c"])
MODEL = xgboost.XGBRegressor(n_estimators=5).fit(FRAME, FRAME["a"])


@pytest.fixture(scope="module")
def people(server):
    """Tokens: of an engineer of each of two teams, that of bob good for his team only, of a third one whose
    token is not, and of somebody who may only call."""
    return {
        "ada": server.member("ada", "engineer", "risk"),
        "bob": server.member("bob", "engineer", "growth", "--team", "growth"),
        "carol": server.member("carol", "engineer", "growth"),
        "eve": server.member("eve", "caller", "risk"),
    }


@pytest.fixture(scope="module")
def secret(server, people):
    """What ada's team has: an experiment, a run, a model; and what bob's has that is named alike."""
    run, name = {}, fresh("secret")
    for who in ("bob", "ada"):
        with acting(server, MLFLOW_TRACKING_TOKEN=people[who]) as c:
            experiment = mlflow.set_experiment(name)
            with mlflow.start_run() as r:
                mlflow.log_metric("m", 1)
                mlflow.log_text("text of " + who, "notes/a.txt")
                model = log(mlflow.xgboost, MODEL, "model", signature=mlflow.models.infer_signature(FRAME, MODEL.predict(FRAME)))
            run[who] = r.info
    with acting(server, MLFLOW_TRACKING_TOKEN=people["ada"]) as c:
        mlflow.register_model(f"runs:/{run['ada'].run_id}/model", name)
        c.set_registered_model_alias(name, "champion", 1)
    assert experiment.experiment_id == run["ada"].experiment_id != run["bob"].experiment_id
    return name, run["ada"], run["bob"], model


def whoever(token, name="anybody"):
    return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": token}


def test_a_token_is_a_bearer_or_a_password(server, people):
    for credentials in ({"MLFLOW_TRACKING_TOKEN": people["ada"]}, whoever(people["ada"]), whoever(people["ada"], "ada")):
        with acting(server, **credentials) as c:
            assert c.search_experiments() is not None
            id = c.create_experiment(fresh("basic"))
            c.log_text(c.create_run(id).info.run_id, "x", "a.txt")
    with_userinfo = server.url.replace("http://", f"http://ada:{people['ada']}@")
    with acting(server, with_userinfo, MLFLOW_WORKSPACE="") as c:
        assert c.get_experiment(id).name


@pytest.mark.parametrize("token", ["wrong", "", "slw_" + "a" * 40, "ö"])
def test_others_stay_outside(server, token):
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    for headers in ({}, {"Authorization": b"Bearer " + token.encode()}, {"Authorization": "Basic " + basic}, {"Authorization": "Basic !"}):
        for method, path in (
            ("POST", "/api/2.0/mlflow/experiments/search"),
            ("GET", "/ajax-api/2.0/mlflow/registered-models/search"),
            ("GET", "/api/2.0/mlflow-artifacts/artifacts?path="),
            ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x"),
            ("GET", "/api/2.0/mlflow/webhooks"),
            ("GET", "/get-artifact?run_id=x&path=y"),
        ):
            answer = requests.request(method, server.url + path, headers=headers, timeout=10)
            assert answer.status_code == 401, (method, path, answer.text)
            assert "risk" not in answer.text and answer.headers["WWW-Authenticate"]


def test_a_token_that_ended_is_worth_nothing(server, people):
    made = server.cli("tokens", "create", "ada")
    with acting(server, MLFLOW_TRACKING_TOKEN=made["text"]) as c:
        assert c.search_experiments() is not None
        server.cli("tokens", "revoke", made["id"])
        with pytest.raises(MlflowException, match="(?i)token|authenti"):
            c.search_experiments()


def test_a_token_for_one_thing_does_nothing_else(server, people):
    narrow = server.cli("tokens", "create", "ada", "--action", "experiment:read")["text"]
    with acting(server, MLFLOW_TRACKING_TOKEN=narrow) as c:
        assert c.search_experiments() is not None
        refused(lambda: c.create_experiment(fresh("no")), "PERMISSION_DENIED")


def test_one_who_may_only_call_writes_nothing(server, people, secret):
    name, run, *_ = secret
    with acting(server, MLFLOW_TRACKING_TOKEN=people["eve"]) as c:
        for call in (
            lambda: c.create_experiment(fresh("no")),
            lambda: c.log_metric(run.run_id, "m", 2),
            lambda: c.log_text(run.run_id, "x", "notes/b.txt"),
            lambda: c.set_registered_model_alias(name, "champion", 1),
            lambda: c.delete_run(run.run_id),
            lambda: c.delete_registered_model(name),
        ):
            with pytest.raises((MlflowException, requests.HTTPError)):
                call()


def test_what_is_open_to_engineers_is_read_and_not_written(server, people, secret):
    name, run, *_ = secret
    with acting(server, MLFLOW_TRACKING_TOKEN=people["carol"]) as c:
        assert c.get_run(run.run_id).data.metrics == {"m": 1}
        assert mlflow.artifacts.load_text(f"runs:/{run.run_id}/notes/a.txt") == "text of ada"
        assert c.get_model_version_by_alias(name, "champion").run_id == run.run_id
        for call in (
            lambda: c.log_metric(run.run_id, "m", 2),
            lambda: c.set_tag(run.run_id, "t", 2),
            lambda: c.delete_run(run.run_id),
            lambda: c.delete_experiment(run.experiment_id),
            lambda: c.create_run(run.experiment_id),
            lambda: c.set_registered_model_alias(name, "champion", 1),
            lambda: c.delete_registered_model(name),
            lambda: c.create_model_version(name, "s3://bucket/model"),
        ):
            refused(call, "PERMISSION_DENIED")
        with pytest.raises(requests.HTTPError, match="403"):
            c.log_text(run.run_id, "x", "notes/b.txt")


def test_nothing_of_another_team_is_seen(server, people, secret):
    name, run, own, _ = secret
    with acting(server, MLFLOW_TRACKING_TOKEN=people["bob"]) as c:
        every = ViewType.ALL
        assert run.experiment_id not in {e.experiment_id for e in c.search_experiments(every)}
        assert [e.experiment_id for e in c.search_experiments(every, filter_string=f"name = '{name}'")] == [own.experiment_id]
        assert c.get_experiment_by_name(name).experiment_id == own.experiment_id
        assert not c.search_registered_models(f"name = '{name}'")
        assert name not in {m.name for m in c.search_registered_models()}
        assert not c.search_model_versions(f"name = '{name}'") and name not in {v.name for v in c.search_model_versions()}
        assert not c.search_model_versions(f"run_id = '{run.run_id}'")
        with contextlib.suppress(MlflowException):  # as if there were no such experiment: nothing, or that it is not there
            assert not c.search_runs([run.experiment_id], run_view_type=every)
        seen = c.search_runs([own.experiment_id, "0"], run_view_type=every)
        assert {r.info.experiment_id for r in seen} <= {own.experiment_id, "0"} and len(seen) >= 1
        for call in (
            lambda: c.get_experiment(run.experiment_id),
            lambda: c.rename_experiment(run.experiment_id, "x"),
            lambda: c.delete_experiment(run.experiment_id),
            lambda: c.set_experiment_tag(run.experiment_id, "k", "v"),
            lambda: c.create_run(run.experiment_id),
            lambda: c.get_run(run.run_id),
            lambda: c.log_metric(run.run_id, "m", 2),
            lambda: c.log_batch(run.run_id, [Metric("m", 3, 1, 0)]),
            lambda: c.log_param(run.run_id, "p", 2),
            lambda: c.set_tag(run.run_id, "t", 2),
            lambda: c.delete_run(run.run_id),
            lambda: c.restore_run(run.run_id),
            lambda: c.get_metric_history(run.run_id, "m"),
            lambda: c.get_registered_model(name),
            lambda: c.get_model_version(name, "1"),
            lambda: c.get_model_version_download_uri(name, "1"),
            lambda: c.get_latest_versions(name),
            lambda: c.update_model_version(name, "1", "x"),
            lambda: c.set_registered_model_tag(name, "k", "v"),
            lambda: c.set_model_version_tag(name, "1", "k", "v"),
            lambda: c.set_registered_model_alias(name, "mine", 1),
            lambda: c.delete_registered_model_alias(name, "champion"),
            lambda: c.transition_model_version_stage(name, "1", "Production"),
            lambda: c.delete_model_version(name, "1"),
            lambda: c.rename_registered_model(name, name + "x"),
            lambda: c.delete_registered_model(name),
        ):
            refused(call, "RESOURCE_DOES_NOT_EXIST")
        with pytest.raises(MlflowException):
            c.get_model_version_by_alias(name, "champion")


def test_no_bytes_of_another_team_are_read_or_written(server, people, secret):
    name, run, own, model = secret
    bob = {"Authorization": "Bearer " + people["bob"]}
    proxy = server.url + "/api/2.0/mlflow-artifacts/"
    file = f"{run.experiment_id}/{run.run_id}/artifacts/notes/a.txt"
    assert requests.get(proxy + "artifacts/" + file, headers={"Authorization": "Bearer " + people["ada"]}, timeout=10).text == "text of ada"
    for method, path, body in (
        ("GET", "artifacts/" + file, None),
        ("GET", "artifacts/" + file.replace(run.experiment_id, f"{own.experiment_id}/../{run.experiment_id}"), None),
        ("PUT", "artifacts/" + file, b"bob was here"),
        ("DELETE", "artifacts/" + file, None),
        ("POST", "mpu/create/" + file, b'{"path":"x","num_parts":1}'),
        ("GET", "presigned/" + file, None),
        ("GET", f"artifacts/versions/{name}/1/MLmodel", None),
    ):
        answer = requests.request(method, proxy + path, headers=bob, data=body, timeout=10)
        nothing_there = method == "DELETE" and answer.text.strip() == "{}"  # which is no error
        assert 400 <= answer.status_code < 500 or answer.status_code == 501 or nothing_there, (method, path, answer.text)
        assert "text of" not in answer.text
    listing = requests.get(proxy + "artifacts", {"path": f"{run.experiment_id}/{run.run_id}/artifacts"}, headers=bob, timeout=10)
    assert "notes" not in listing.text
    listing = requests.get(proxy + "artifacts", {"path": ""}, headers=bob, timeout=10)
    assert run.experiment_id not in [f["path"] for f in listing.json().get("files", [])] if listing.ok else True
    for path in (
        f"/get-artifact?run_id={run.run_id}&path=notes/a.txt",
        f"/model-versions/get-artifact?name={name}&version=1&path=MLmodel",
        f"/api/2.0/mlflow/artifacts/list?run_id={run.run_id}",
        f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={run.run_id}&metric_key=m",
    ):
        answer = requests.get(server.url + path, headers=bob, timeout=10)
        assert answer.status_code in (400, 403, 404) or not answer.json().get("metrics"), (path, answer.text)
    assert requests.get(proxy + "artifacts/" + file, headers={"Authorization": "Bearer " + people["ada"]}, timeout=10).text == "text of ada"
    with acting(server, MLFLOW_TRACKING_TOKEN=people["bob"]) as c:
        mine = fresh("mine")
        c.create_registered_model(mine)
        for source in (run.artifact_uri + "/model", f"runs:/{run.run_id}/model", f"models:/{name}/1", model.model_uri):
            with contextlib.suppress(MlflowException):
                v = c.create_model_version(mine, source, run_id=None)
                with pytest.raises(Exception):  # noqa: B017
                    mlflow.artifacts.download_artifacts(f"models:/{mine}/{v.version}/MLmodel")


@pytest.mark.skipif(MAJOR < 3, reason="models of their own came with 3")
def test_logged_models_of_another_team_are_not_there(server, people, secret):
    name, run, own, model = secret
    id = model.model_id
    with acting(server, MLFLOW_TRACKING_TOKEN=people["bob"]) as c:
        with contextlib.suppress(MlflowException):
            assert not c.search_logged_models([run.experiment_id])
        assert id not in [m.model_id for m in c.search_logged_models([own.experiment_id])]
        for call in (
            lambda: c.get_logged_model(id),
            lambda: c.set_logged_model_tags(id, {"k": "v"}),
            lambda: c.delete_logged_model_tag(id, "k"),
            lambda: c.finalize_logged_model(id, "READY"),
            lambda: c.delete_logged_model(id),
        ):
            with pytest.raises(MlflowException, match="(?i)not found|does not exist|may not have access"):
                call()


def test_the_prefix_of_a_team_is_a_server_of_its_own(server, people, secret):
    name, run, own, _ = secret
    for team, theirs in (("risk", run), ("growth", own)):
        with acting(server, f"{server.url}/teams/{team}") as c:  # the owner sees both; the address says which
            assert c.get_experiment_by_name(name).experiment_id == theirs.experiment_id
            assert {e.experiment_id for e in c.search_experiments(filter_string=f"name = '{name}'")} == {theirs.experiment_id}
            assert len(c.search_registered_models(f"name = '{name}'")) == (team == "risk")
            assert mlflow.artifacts.load_text(f"runs:/{theirs.run_id}/notes/a.txt")
            made = mlflow.set_experiment(fresh("prefix"))
            with mlflow.start_run() as r:
                mlflow.log_text("below", "a.txt")
        with acting(server, MLFLOW_TRACKING_TOKEN=people["ada" if team == "risk" else "bob"]) as c:
            assert c.get_run(r.info.run_id).info.experiment_id == made.experiment_id
    with acting(server, f"{server.url}/teams/risk", MLFLOW_TRACKING_TOKEN=people["bob"]) as c, pytest.raises(MlflowException):
        c.create_experiment(fresh("intruder"))
    with acting(server, f"{server.url}/teams/risk") as c:
        np.testing.assert_allclose(mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(FRAME), MODEL.predict(FRAME), rtol=1e-6)


@pytest.mark.skipif(not hasattr(mlflow, "set_workspace"), reason="workspaces came with 3.10")
def test_a_team_is_a_workspace(server, people, secret):
    name, run, own, _ = secret
    try:
        for team, theirs in (("risk", run), ("growth", own)):
            with acting(server) as c:
                mlflow.set_workspace(team)
                assert c.get_experiment_by_name(name).experiment_id == theirs.experiment_id
                assert len(c.search_registered_models(f"name = '{name}'")) == (team == "risk")
        with acting(server) as c:
            assert {"risk", "growth"} <= {w.name for w in mlflow.list_workspaces()}
        with acting(server, MLFLOW_TRACKING_TOKEN=people["bob"]) as c:
            assert "risk" not in {w.name for w in mlflow.list_workspaces()}
            mlflow.set_workspace("risk")
            with pytest.raises(MlflowException):
                c.create_experiment(fresh("intruder"))
    finally:
        mlflow.set_workspace(None)


def test_the_default_experiment_is_that_of_the_team(server, people):
    runs = {}
    for who in ("ada", "bob"):
        with acting(server, MLFLOW_TRACKING_TOKEN=people[who]) as c:
            runs[who] = c.create_run("0").info.run_id
    for who, other in (("ada", "bob"), ("bob", "ada")):
        with acting(server, MLFLOW_TRACKING_TOKEN=people[who]) as c:
            seen = {r.info.run_id for r in c.search_runs(["0"])}
            assert runs[who] in seen and runs[other] not in seen


def test_what_mlflow_logged_is_deployed_by_its_alias(server, people, secret, tmp_path):
    name, *_ = secret
    endpoint = fresh("by-alias")
    (tmp_path / "platform.yaml").write_text(textwrap.dedent(f"""\
        apiVersion: platform/v1
        kind: RealtimeModel
        name: {endpoint}
        tier: 4
        owner: {{team: risk}}
        model:
          source: models:/{name}@champion
        rollout: {{steps: [{{weight: 100}}], on_no_data: continue, keep_previous_warm: 0s}}
        """))
    server.cli("deploy", "--watch", cwd=tmp_path)
    body = {"dataframe_split": FRAME.to_dict(orient="split")}
    headers = {"Authorization": "Bearer " + server.token}
    answer = requests.post(f"{server.url}/endpoints/{endpoint}/invocations", json=body, headers=headers, timeout=30)
    assert answer.ok, answer.text
    np.testing.assert_allclose(answer.json()["predictions"], MODEL.predict(FRAME), rtol=1e-6)
