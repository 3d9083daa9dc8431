"""What MLflow lacks: approvals that its client meets as a refusal, signatures, lineage, and the way back from an answer."""

import os
import pathlib
import subprocess
import time

import mlflow
import mlflow.data
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import requests
import xgboost
from conftest import acting, fresh, log, refused

pytestmark = pytest.mark.ours
FRAME = pd.DataFrame(np.random.default_rng(5).normal(size=(40, 3)), columns=["a", "b", "c"])
PROJECT = """\
apiVersion: platform/v1
kind: RealtimeModel
name: {name}
tier: 4
owner: {{team: risk}}
model: {{source: 'models:/{name}@champion'}}
"""


@pytest.fixture(scope="module")
def people(server):
    """An engineer who does the work, another one, and the lead who agrees."""
    return {
        "gina": server.member("gina", "engineer", "risk"),
        "hank": server.member("hank", "engineer", "risk"),
        "lea": server.member("lea", "team-lead", "risk"),
    }


def as_(server, token, *args):
    """Run a command as somebody; what it prints, and whether it went well."""
    env = {**os.environ, "SLIPWAY_HOME": str(server.home), "SLIPWAY_TOKEN": token, "NO_COLOR": "1"}
    done = subprocess.run([os.environ["PLATFORM"], *args], env=env, capture_output=True, text=True, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


def trained(name, trees):
    """A version of a model whose run says what it was trained on."""
    model = xgboost.XGBRegressor(n_estimators=trees).fit(FRAME, FRAME["a"])
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(FRAME, name="merchants"), context="training")
        mlflow.log_metric("rmse", 1 / trees)
        logged = log(mlflow.xgboost, model, "model", signature=mlflow.models.infer_signature(FRAME, model.predict(FRAME)))
    return run.info.run_id, mlflow.register_model(logged.model_uri, name)


def test_from_an_approved_move_to_one_answer_and_back(server, people, tmp_path):
    name = "risk-" + fresh("m")[-8:]
    with acting(server, server.url + "/teams/risk", MLFLOW_TRACKING_TOKEN=people["gina"]) as c:
        mlflow.set_experiment(fresh("governed"))
        runs = [trained(name, n) for n in (3, 7)]
        c.set_registered_model_alias(name, "champion", 1)
        server.cli("models", "protect", name, "champion", "--approvals", "1", "--reason", "four eyes")
        for call in (
            lambda: c.set_registered_model_alias(name, "champion", 2),
            lambda: c.delete_registered_model_alias(name, "champion"),
            lambda: c.delete_model_version(name, "1"),
            lambda: c.delete_registered_model(name),
        ):
            refused(call, "PERMISSION_DENIED", name + "@champion is protected", "by team-lead, owner")
        refused(lambda: c.set_registered_model_alias(name, "champion", 2), "PERMISSION_DENIED", f"platform models request {name} champion 2 --reason WHY")
        assert c.get_model_version_by_alias(name, "champion").version in (1, "1")

        assert as_(server, people["gina"], "models", "request", name, "champion", "2", "--reason", "fewer errors")[0]
        (request,) = server.cli("models", "requests", "--model", name)
        for who, why in (("gina", "whoever asks does not approve"), ("hank", "name other roles")):
            ok, said = as_(server, people[who], "models", "approve", request["id"])
            assert not ok and why in said, said
        assert as_(server, people["lea"], "models", "approve", request["id"])[0]
        assert c.get_model_version_by_alias(name, "champion").version in (2, "2")
        assert [(s["version"], s["by"], s.get("approvers")) for s in server.cli("models", "alias", name, "champion")] == [
            (2, "gina", ["lea"]),
            (1, "gina", None),
        ]

    shown = server.cli("models", "show", name, "@champion")
    assert shown["version"] == 2 and shown["signature"]["state"] == "valid" and shown["where"] == []
    assert shown["run"]["id"] == runs[1][0]
    assert [(d["name"], d["context"]) for d in shown["run"]["datasets"]] == [("merchants", "training")]
    differs = server.cli("models", "compare", name, "1", "2")
    assert [m["name"] for m in differs["metrics"]] == ["rmse"] and differs["inputs"] == [] and differs["datasets"] == []

    pathlib.Path(tmp_path, "platform.yaml").write_text(PROJECT.format(name=name))
    server.cli("deploy", "--watch", cwd=tmp_path)
    (place,) = server.cli("models", "show", name, "2")["where"]
    assert (place["endpoint"], place["state"], place["share"]) == (name, "serving", 100)
    answer = requests.post(
        f"{server.url}/endpoints/{name}/invocations",
        json={"dataframe_records": FRAME.head(1).to_dict("records")},
        headers={"Authorization": f"Bearer {server.token}", "X-Request-Id": "order-" + name},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    time.sleep(0.3)  # the gateway writes behind its answers
    (traced,) = server.cli("trace", "order-" + name)["answers"]
    assert (traced["model"], traced["version"], traced["digest"]) == (name, 2, shown["digest"])
    assert traced["run"]["id"] == runs[1][0] and traced["run"]["datasets"] == shown["run"]["datasets"]
    assert [(a["alias"], a["approvers"]) for a in traced["aliases"]] == [("champion", ["lea"])] and traced["signature"] == "valid"

    with acting(server, server.url + "/teams/risk", MLFLOW_TRACKING_TOKEN=people["gina"]) as c:
        refused(lambda: c.delete_model_version(name, "2"), "RESOURCE_CONFLICT", f"in use by the endpoint {name}")
        c.delete_model_version(name, "1")  # nothing points at it
        refused(lambda: c.get_model_version(name, "1"), "RESOURCE_DOES_NOT_EXIST")


def test_runs_are_listed_by_what_was_measured(server, people):
    with acting(server, server.url + "/teams/risk", MLFLOW_TRACKING_TOKEN=people["hank"]):
        experiment = mlflow.set_experiment(fresh("listed"))
        ids = []
        for auc in (0.7, 0.9, 0.8):
            with mlflow.start_run() as run:
                mlflow.log_metric("auc", auc)
                mlflow.log_metric("nothing", float("nan"))
                mlflow.log_param("depth", int(auc * 10))
            ids.append(run.info.run_id)
    found = server.cli("runs", "list", "--experiment", experiment.experiment_id, "--filter", "metrics.auc > 0.75", "--order", "metrics.auc DESC")
    assert [r["id"] for r in found] == [ids[1], ids[2]] and found[0]["metrics"] == {"auc": 0.9, "nothing": "NaN"}
    assert server.cli("runs", "show", ids[0])["params"] == {"depth": "7"}
    differs = server.cli("runs", "compare", ids[0], ids[1])
    assert differs["params"] == [{"name": "depth", "from": "7", "to": "9"}]
    ok, said = as_(server, people["hank"], "runs", "list", "--filter", "metrics.auc >>> 1")
    assert not ok and "next:" in said, said
