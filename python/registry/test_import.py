"""`platform import mlflow`, from a real server of the same MLflow, killed on its way."""

import contextlib
import hashlib
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

import pytest
import requests
from conftest import MAJOR, fresh

pytestmark = pytest.mark.ours

API = "/api/2.0/mlflow"
LARGEST = sys.float_info.max


class Rest(requests.Session):
    """One server, by REST: the same questions to both."""

    def __init__(self, url, token=""):
        super().__init__()
        self.url = url
        if token:
            self.headers["Authorization"] = "Bearer " + token

    def ask(self, method, at, /, **body):
        r = self.request(method, self.url + API + at, **({"params": body} if method == "GET" else {"json": body}))
        assert r.status_code == 200, f"{at}: {r.status_code} {r.text[:300]}"
        return r.json()

    def experiments(self):
        found = self.ask("POST", "/experiments/search", max_results=1000).get("experiments", [])
        return {e["name"]: e for e in found}

    def runs(self, experiment):
        found = self.ask("POST", "/runs/search", experiment_ids=[experiment], max_results=1000).get("runs", [])
        return {r["info"]["run_id"]: r for r in found}

    def history(self, run, key):
        return sorted(
            (m["timestamp"], m.get("step", 0), repr(min(max(float(m["value"]), -LARGEST), LARGEST)))
            for m in self.ask("GET", "/metrics/get-history", run_id=run, metric_key=key)["metrics"]
        )

    def files(self, run, path=""):
        out = {}
        for f in self.ask("GET", "/artifacts/list", run_id=run, **({"path": path} if path else {})).get("files", []):
            if f.get("is_dir"):
                out |= self.files(run, f["path"])
            else:
                got = self.get(self.url + "/get-artifact", params={"run_id": run, "path": f["path"]})
                assert got.status_code == 200, got.text
                out[f["path"]] = hashlib.sha256(got.content).hexdigest()
        return out

    def state(self, experiment):
        """All of an experiment, in a form that does not say whose it is."""
        return {
            id: {
                "info": {k: r["info"].get(k) for k in ("run_name", "status", "start_time", "end_time", "user_id")},
                "params": sorted((p["key"], p["value"]) for p in r["data"].get("params", [])),
                "tags": sorted((t["key"], t["value"]) for t in r["data"].get("tags", [])),
                "metrics": {m["key"]: self.history(id, m["key"]) for m in r["data"].get("metrics", [])},
                "inputs": [
                    ({k: d["dataset"].get(k) for k in ("name", "digest", "source_type", "source")}, d.get("tags"))
                    for d in r.get("inputs", {}).get("dataset_inputs", [])
                ],
                "outputs": r.get("outputs", {}).get("model_outputs", []),
                "files": self.files(id),
            }
            for id, r in self.runs(experiment).items()
        }


@pytest.fixture(scope="module")
def source():
    """A server of MLflow's own, which MLFLOW_SOURCE may name: starting one takes a while."""
    if url := os.environ.get("MLFLOW_SOURCE"):
        yield Rest(url)
        return
    with tempfile.TemporaryDirectory(prefix="slipmlf", ignore_cleanup_errors=True) as tmp, contextlib.ExitStack() as stack:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        log = stack.enter_context(open(pathlib.Path(tmp, "log"), "wb"))
        running = subprocess.Popen(
            [pathlib.Path(sys.executable).parent / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{tmp}/mlflow.db", "--artifacts-destination", f"{tmp}/artifacts"],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        stack.callback(lambda: (os.killpg(running.pid, 15), running.wait(60)))
        mlflow = Rest(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 600
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if mlflow.get(mlflow.url + "/health").status_code == 200:
                    break
            assert running.poll() is None and time.monotonic() < deadline, pathlib.Path(tmp, "log").read_text()
            time.sleep(0.1)
        yield mlflow


def fill(mlflow, experiment, runs):
    """Runs with histories, files and all that belongs to them; it gives their ids."""
    t, ids = 1_700_000_000_000, []
    for i in range(runs):
        info = mlflow.ask(
            "POST", "/runs/create", experiment_id=experiment, start_time=t + i, run_name=f"run {i}", user_id="ada",
            tags=[{"key": "note", "value": "it's \"ü\""}, *([{"key": "mlflow.parentRunId", "value": ids[0]}] if ids else [])],
        )["run"]["info"]  # fmt: skip
        ids.append(info["run_id"])
        mlflow.ask(
            "POST", "/runs/log-batch", run_id=ids[-1], params=[{"key": f"p{k}", "value": str(i)} for k in range(30)],
            metrics=[{"key": "loss", "value": v, "timestamp": t + s, "step": s} for s, v in enumerate(["NaN", "Infinity", *(1 / n for n in range(1, 300))])]
            + [{"key": "auc", "value": i / 7, "timestamp": t, "step": 0}],
        )  # fmt: skip
        mlflow.ask(
            "POST", "/runs/log-inputs", run_id=ids[-1],
            datasets=[{"dataset": {"name": "train", "digest": f"d{i}", "source_type": "local", "source": "{}"}, "tags": [{"key": "mlflow.data.context", "value": "training"}]}],
        )  # fmt: skip
        for path, size in (("a b.txt", 5), ("model/MLmodel", 100), ("deep/er/x.bin", 200_000)):
            put = mlflow.put(f"{mlflow.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{ids[-1]}/artifacts/{path}", data=random.randbytes(size))
            assert put.status_code == 200, put.text
        mlflow.ask("POST", "/runs/update", run_id=ids[-1], status="FINISHED", end_time=t + 1000 + i)
    return ids


def importing(server, *args):
    return subprocess.Popen(
        [os.environ["PLATFORM"], "import", "mlflow", *args, "--json"],
        env={**os.environ, "SLIPWAY_HOME": str(server.home), "NO_COLOR": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_import(server, source):
    name, model = fresh("imported"), fresh("fraud")
    e = source.ask("POST", "/experiments/create", name=name, tags=[{"key": "owner", "value": "risk"}])["experiment_id"]
    ids = fill(source, e, 12)
    root = source.runs(e)[ids[0]]["info"]["artifact_uri"]
    source.ask("POST", "/registered-models/create", name=model, description="finds fraud", tags=[{"key": "k", "value": "v"}])
    for n, origin in enumerate([f"{root}/model", f"{root}/deep", f"runs:/{ids[0]}/model" if MAJOR == 2 else f"{root}/model", "s3://bucket/model"]):
        source.ask("POST", "/model-versions/create", name=model, source=origin, run_id=ids[0], tags=[{"key": "n", "value": str(n)}])
    source.ask("DELETE", "/model-versions/delete", name=model, version="2")
    source.ask("POST", "/model-versions/transition-stage", name=model, version="1", stage="Staging", archive_existing_versions=False)
    source.ask("POST", "/registered-models/alias", name=model, alias="champion", version="3")

    only = (source.url, "--experiment", name, "--model", model, "--parallel", "2")
    for _ in range(6):
        p = importing(server, *only)
        time.sleep(random.uniform(0.05, 1.0))
        p.kill()
        p.communicate()
    report = server.cli("import", "mlflow", *only)
    assert [(x["what"], x["id"]) for x in report["left"]] == [("version", f"{model}/4")] and "s3://bucket/model" in report["left"][0]["why"]
    assert report["runs"]["copied"] + report["runs"]["unchanged"] == 12

    ours = Rest(server.url, server.token)
    here = ours.experiments()[name]
    assert here["tags"] == [{"key": "owner", "value": "risk"}] and here["creation_time"] == source.experiments()[name]["creation_time"]
    assert ours.state(here["experiment_id"]) == source.state(e)

    def versions(s):
        found = s.ask("GET", "/model-versions/search", filter=f"name = '{model}'", max_results=100)["model_versions"]
        return {v["version"]: {k: v.get(k) for k in ("creation_timestamp", "current_stage", "run_id", "tags")} for v in found}

    assert versions(ours) == versions(source) and set(versions(ours)) == {"1", "3", "4"}
    assert ours.ask("GET", "/registered-models/alias", name=model, alias="champion")["model_version"]["version"] == "3"
    got = ours.ask("GET", "/registered-models/get", name=model)["registered_model"]
    assert (got["description"], got["tags"]) == ("finds fraud", [{"key": "k", "value": "v"}])
    uri = ours.ask("GET", "/model-versions/get-download-uri", name=model, version="1")["artifact_uri"]
    assert uri == f"mlflow-artifacts:/versions/{model}/1"

    again = server.cli("import", "mlflow", *only)
    assert again["left"] == report["left"]
    assert again["runs"] == {"copied": 0, "unchanged": 12, "failed": 0} and again["metrics"] == again["bytes"] == again["versions"]["copied"] == 0
    more = fill(source, e, 1)
    source.ask("POST", "/runs/set-tag", run_id=ids[3], key="note", value="changed")
    third = server.cli("import", "mlflow", *only)
    assert third["runs"] == {"copied": 2, "unchanged": 11, "failed": 0} and third["files"]["copied"] == 3
    state = ours.state(here["experiment_id"])
    assert more[0] in state and state == source.state(e)


@pytest.mark.skipif(MAJOR == 2, reason="MLflow 2 has no logged models")
def test_import_logged_model(server, source):
    name, model = fresh("logged"), fresh("champion")
    e = source.ask("POST", "/experiments/create", name=name)["experiment_id"]
    run = fill(source, e, 1)[0]
    m = source.ask("POST", "/logged-models", experiment_id=e, name="model", source_run_id=run, params=[{"key": "depth", "value": "3"}])["model"]["info"]
    source.ask("POST", "/runs/outputs", run_id=run, models=[{"model_id": m["model_id"], "step": 2}])
    source.ask("POST", "/runs/log-batch", run_id=run, metrics=[{"key": "f1", "value": 0.5, "timestamp": 7, "step": 2, "model_id": m["model_id"]}])
    source.put(f"{source.url}/api/2.0/mlflow-artifacts/artifacts/{e}/models/{m['model_id']}/artifacts/MLmodel", data=b"flavors: {}\n")
    source.ask("PATCH", f"/logged-models/{m['model_id']}", model_id=m["model_id"], status=2)
    source.ask("POST", "/registered-models/create", name=model)
    source.ask("POST", "/model-versions/create", name=model, source=f"models:/{m['model_id']}", model_id=m["model_id"])
    report = server.cli("import", "mlflow", source.url, "--experiment", name, "--model", model)
    assert report["left"] == [] and report["logged_models"]["copied"] == 1 and report["versions"]["copied"] == 1
    ours = Rest(server.url, server.token)
    a, b = (s.ask("GET", f"/logged-models/{m['model_id']}")["model"] for s in (source, ours))
    keys = ("model_id", "name", "creation_timestamp_ms", "status", "source_run_id")
    assert {k: a["info"].get(k) for k in keys} == {k: b["info"].get(k) for k in keys}
    assert a["data"]["params"] == b["data"]["params"]
    assert [(x["key"], x["value"], x["run_id"]) for x in b["data"]["metrics"]] == [("f1", 0.5, run)]
    assert ours.runs(ours.experiments()[name]["experiment_id"])[run]["outputs"] == {"model_outputs": [{"model_id": m["model_id"], "step": 2}]}
    uri = ours.ask("GET", "/model-versions/get-download-uri", name=model, version="1")["artifact_uri"]
    path = uri.removeprefix("mlflow-artifacts:/")
    assert ours.get(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel").content == b"flavors: {}\n"


def test_import_refuses(server, source):
    """Whoever may write for one team only, imports for it alone, and wrong addresses are told from servers."""
    token = server.member(fresh("eve"), "engineer", "growth")
    for args, said in (
        ([source.url, "--team", "risk", "--experiment", "Default"], "may not"),
        (["http://127.0.0.1:1"], "SLIP-E1801"),
        ([server.url], "SLIP-E1802"),
        (["ftp://example.com"], "SLIP-E0007"),
    ):
        p = subprocess.run(
            [os.environ["PLATFORM"], "import", "mlflow", *args, "--json"], capture_output=True, text=True, timeout=120,
            env={**os.environ, "SLIPWAY_HOME": str(server.home), "SLIPWAY_TOKEN": token, "NO_COLOR": "1"},
        )  # fmt: skip
        assert p.returncode != 0 and said in p.stdout + p.stderr, p.stdout + p.stderr
