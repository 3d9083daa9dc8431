"""The SDK against a running platform."""

import os
import pathlib
import threading

import numpy as np
import pandas as pd
import pytest

import slipway
import slipway._program


@pytest.fixture(scope="session")
def client(platform):
    # The program that is tested, in place of the one of an installed wheel.
    slipway._program.find_platform = lambda: os.environ["PLATFORM"]
    return slipway.Client(platform.url, platform.token)


def test_predictions_in_every_form(client, golden):
    rows = [{k: v for k, v in g["inputs"].items() if v is not None} for g in golden[:5]]
    want = [g["outputs"]["predict"] for g in golden[:5]]
    frame = pd.DataFrame([g["inputs"] for g in golden[:5]])
    assert client.predict("fraud", rows) == want
    assert client.predict("fraud", frame) == want
    assert client.predict("fraud", {c: frame[c].tolist() for c in frame.dropna(axis=1)} if not frame.isna().any().any() else frame) == want
    typed = [{k: np.float32(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    assert client.predict("fraud", typed) == want


def test_threads_share_a_client(client, golden):
    rows = [{k: v for k, v in golden[0]["inputs"].items() if v is not None}]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.predict("fraud", rows))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [[golden[0]["outputs"]["predict"]]] * 8


def test_status_and_records(client):
    e = client.status("fraud")
    assert e.name == "fraud" and e.state in ("provisional", "serving")
    serving = e.candidate or e.stable
    assert serving is not None and serving.version >= 1 and serving.ready == serving.want
    assert "fraud" in client.endpoints()
    d = client.deployments("fraud")[0]
    assert client.wait(d).id == d.id
    assert {"resolve", "package", "validate", "release"} <= {s.name for s in d.stages}
    assert "Bearer" not in repr(client) and client._token not in repr(client)


def test_deploy_again_changes_nothing(client, platform):
    d = client.deploy(platform.project)
    assert d.unchanged and d.status == "succeeded"


def test_deploy_another_version_and_roll_back(client, platform, tmp_path):
    project = tmp_path / "project"
    copy(platform.project, project)
    text = (project / "platform.yaml").read_text().replace("name: fraud", "name: sdk").replace("hold: 30s", "hold: 0s")
    (project / "platform.yaml").write_text(text)
    first = client.deploy(project / "platform.yaml", timeout=120)
    (project / "model" / "NOTE").write_text("another version")
    second = client.deploy(project, timeout=120, key="the second")
    assert (first.endpoint, first.status, second.status) == ("sdk", "succeeded", "succeeded")
    assert second.version == first.version + 1
    assert client.deployment(second.id) == second
    back = client.rollback("sdk", reason="for the test")
    assert back["endpoint"] == "sdk"
    with pytest.raises(slipway.Error) as refused:
        client.deploy(project, timeout=120)
    assert refused.value.code == "SLIP-E0401" and "--force" in refused.value.next, refused.value


def test_a_deployment_that_fails(client, platform, tmp_path):
    project = tmp_path / "project"
    copy(platform.project, project)
    text = (project / "platform.yaml").read_text().replace("name: fraud", "name: sdkbad").replace("min: 0.9", "min: 0.9999")
    (project / "platform.yaml").write_text(text)
    with pytest.raises(slipway.DeploymentFailed) as failed:
        client.deploy(project, timeout=120)
    assert failed.value.deployment.status == "failed" and failed.value.code == "SLIP-E0301"


def copy(source: pathlib.Path, to: pathlib.Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            target = to / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    ("call", "code", "next"),
    [
        (lambda c: c.predict("nobody", [{"a": 1}]), "SLIP-E0003", "platform"),
        (lambda c: c.predict("fraud", [{"wrong": 1}]), "SLIP-E0501", "required"),
        (lambda c: c.predict("fraud", 7), "", "give"),
        (lambda c: c.predict("fraud", {"a": [1], "b": [1, 2]}), "", "as many values"),
        (lambda c: c.predict("fraud", [{"amount": object()}]), "", "give numbers"),
        (lambda c: c.status("../x"), "SLIP-E", ""),
        (lambda c: c.deploy("/none/platform.yaml"), "", ""),
        (lambda c: slipway.Client(c.server, "wrong").status("fraud"), "SLIP-E0", ""),
        (lambda c: slipway.Client("http://127.0.0.1:1", "x").status("fraud"), "SLIP-E0604", "platform up"),
        (lambda c: slipway.Client("nonsense", "x"), "", "http://"),
    ],
)
def test_mistakes_name_the_next_step(client, call, code, next):
    with pytest.raises((slipway.Error, FileNotFoundError)) as e:
        call(client)
    if isinstance(e.value, slipway.Error):
        assert e.value.code.startswith(code) and next in e.value.next, e.value
        assert client._token not in str(e.value)


def test_a_mistake_in_the_file_is_told(client, tmp_path):
    (tmp_path / "platform.yaml").write_text("apiVersion: platform/v1\nkind: RealtimeModel\nname: x\ntier: 9\n")
    with pytest.raises(slipway.Error) as e:
        client.deploy(tmp_path)
    assert e.value.code == "SLIP-E0101" and "platform.yaml:1:1" in str(e.value)
