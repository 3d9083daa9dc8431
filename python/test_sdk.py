"""The SDK against a running platform, and against servers that misbehave."""

import contextlib
import json
import math
import os
import pathlib
import pickle
import re
import select
import shutil
import signal
import socket
import subprocess
import threading

import numpy as np
import pandas as pd
import pytest

import slipway

ROWS = [{"a": 1}]
SECRET = "not-to-be-seen"


@pytest.fixture(scope="session")
def client(platform):
    before = os.environ["PATH"]
    os.environ["PATH"] = os.path.dirname(os.environ["PLATFORM"]) + os.pathsep + before  # the program that is tested
    with slipway.Client(platform.url, platform.token) as c:
        yield c
    os.environ["PATH"] = before


@pytest.fixture
def project(platform, tmp_path):
    """A copy of the example under a name of its own, with a rollout that waits for nothing."""

    def make(name, **changes):
        target = tmp_path / name
        shutil.copytree(platform.project, target)
        text = (target / "platform.yaml").read_text()
        for old, new in {"name: fraud": "name: " + name, "hold: 30s": "hold: 0s", **changes}.items():
            assert old in text
            text = text.replace(old, new)
        (target / "platform.yaml").write_text(text)
        return target

    return make


@contextlib.contextmanager
def server(*answers):
    """A server that gives one answer a connection, the last one again and again, and what it was sent."""
    sent = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def loop():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    data = request(connection)
                    if data:
                        sent.append(data)
                        answer = answers[min(len(sent), len(answers)) - 1]
                        answer(connection) if callable(answer) else connection.sendall(answer)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        yield slipway.Client(f"http://127.0.0.1:{listening.getsockname()[1]}", SECRET, timeout=20), sent
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def request(connection):
    """A request as it came, b"" if none did."""
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and len(body) >= int(length[1] if length else 0):
            return data
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        data += piece


def http(body, status="200 OK", *headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(raw)}", *headers, "", ""]).encode() + raw


def refused(call):
    with pytest.raises(slipway.Error) as e:
        call()
    assert SECRET not in repr(e.value) + str(e.value)
    return e.value


# Against a platform.


def forms(rows):
    frame = pd.DataFrame(rows)
    return {
        "rows": rows,
        "numpy values": [{k: np.float64(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows],
        "columns": {k: [row[k] for row in rows] for k in rows[0]},
        "columns of arrays": {k: frame[k].to_numpy() for k in frame},
        "frame": frame,
        "matrix": frame.to_numpy(float),
        "lists": [list(row.values()) for row in rows],
    }


@pytest.mark.parametrize("form", ["rows", "numpy values", "columns", "columns of arrays", "frame", "matrix", "lists"])
def test_every_form_of_inputs_gives_the_answers_of_the_library(client, golden, form):
    whole = [g for g in golden if None not in g["inputs"].values()][:5]
    inputs = forms([g["inputs"] for g in whole])[form]
    if form in ("matrix", "lists"):  # in the order of the model, which is that of its metadata
        names = [m["name"] for m in client._http.call("GET", "v2", "models", "fraud", timeout=10)["inputs"]]
        rows = [[g["inputs"][n] for n in names] for g in whole]
        inputs = np.array(rows, dtype=object) if form == "matrix" else rows
    want = [g["outputs"] for g in whole]
    assert client.predict("fraud", inputs) == [w["predict"] for w in want]
    got = client.infer("fraud", inputs)
    assert got["predict"] == [w["predict"] for w in want]
    np.testing.assert_allclose(got["probability"], [w["probability"] for w in want], rtol=0, atol=1e-6)


def test_missing_values_are_sent_as_such(client, golden):
    holes = [g for g in golden if None in g["inputs"].values()]
    assert holes
    want = [g["outputs"]["predict"] for g in holes]
    frame = pd.DataFrame([g["inputs"] for g in holes])
    nan = [{k: math.nan if v is None else v for k, v in g["inputs"].items()} for g in holes]
    assert client.predict("fraud", frame) == want
    assert client.predict("fraud", nan) == want
    assert client.predict("fraud", frame.convert_dtypes()) == want  # pandas.NA
    assert client.infer("fraud", frame)["predict"] == want


def test_one_row_is_a_dict_of_values(client, golden):
    assert client.predict("fraud", golden[0]["inputs"]) == [golden[0]["outputs"]["predict"]]


def test_threads_share_a_client(client, golden):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.predict("fraud", golden[0]["inputs"]))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [[golden[0]["outputs"]["predict"]]] * 8


def test_a_child_does_not_use_the_connections_of_its_parent(client, golden):
    want = client.predict("fraud", golden[0]["inputs"])
    parents = {kept.sock.getsockname() for kept in client._http._idle}
    pid = os.fork()
    if pid == 0:
        same = client.predict("fraud", golden[0]["inputs"]) == want
        own = {kept.sock.getsockname() for kept in client._http._idle}
        os._exit(0 if same and own and not own & parents else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert parents and client.predict("fraud", golden[0]["inputs"]) == want
    assert {kept.sock.getsockname() for kept in client._http._idle} == parents


def test_status_and_records(client):
    e = client.status("fraud")
    assert e.name == "fraud" and e.state in ("provisional", "serving")
    serving = e.candidate or e.stable
    assert serving and serving.version >= 1 and serving.ready == serving.want and serving.replicas
    assert "fraud" in [e.name for e in client.endpoints()]
    d = client.deployments("fraud", limit=1)[0]
    assert client.wait(d.id, timeout=30) == d and d.created and d.finished and d.created.utcoffset() is not None
    assert {"resolve", "package", "validate", "release"} <= {s.stage for s in d.stages}
    assert pickle.loads(pickle.dumps(d)) == d
    assert d.record["image"].startswith("sha256:") and e.record["name"] == "fraud"


def test_deploy_again_changes_nothing(client, platform):
    d = client.deploy(platform.project, timeout=120)
    assert d.unchanged and d.status == "succeeded"


def test_deploy_another_version_and_roll_back(client, project):
    p = project("sdk")
    seen = []
    first = client.deploy(p / "platform.yaml", timeout=120, on_change=seen.append)
    assert first.status == "succeeded" and seen[-1] == first
    (p / "model" / "NOTE").write_text("another version")
    begun = client.deploy(p, wait=False, idempotency_key="the second")
    second = client.wait(begun.id, timeout=120)
    assert (second.id, second.version, second.status) == (begun.id, first.version + 1, "succeeded")
    assert client.deploy(p, idempotency_key="the second", timeout=120).id == second.id
    assert [d.id for d in client.deployments("sdk")] == [second.id, first.id]
    back = client.rollback("sdk", reason="for the test")
    assert back.endpoint == "sdk" and (back.deployment or back.to_revision == first.revision)
    e = refused(lambda: client.deploy(p, timeout=120))
    assert e.code == "SLIP-E0401" and "--force" in e.next_step
    for d in client.deployments("sdk"):
        if d.running:
            client.wait(d.id, timeout=60)
    assert client.deploy(p, force_reason="it was a test", timeout=120).reason == "it was a test"


def test_environments_have_endpoints_of_their_own(client, project, golden):
    d = client.deploy(project("away"), "staging", timeout=120)
    assert d.endpoint == "away.staging" and client.status("away", "staging").name == d.endpoint
    assert client.predict("away", golden[0]["inputs"], "staging") == [golden[0]["outputs"]["predict"]]
    assert refused(lambda: client.status("away")).status == 404


def test_a_deployment_that_fails(client, project):
    with pytest.raises(slipway.DeploymentFailed) as failed:
        client.deploy(project("sdkbad", **{"min: 0.9}": "min: 0.9999}"}), timeout=120)
    e = failed.value
    assert e.deployment.status == "failed" and e.code == "SLIP-E0301" and e.next_step
    assert pickle.loads(pickle.dumps(e)).deployment == e.deployment


def test_every_mistake_of_the_file_has_its_line(client, tmp_path):
    (tmp_path / "platform.yaml").write_text("apiVersion: platform/v1\nkind: RealtimeModel\nnaem: x\ntier: 9\n")
    e = refused(lambda: client.deploy(tmp_path))
    assert e.code == "SLIP-E0101" and len(e.problems) >= 3
    assert any(p.line == 3 and "naem" in p.message and "name" in p.next_step for p in e.problems)
    assert any(p.line == 4 and p.path == "tier" for p in e.problems)
    assert "line 3, column 1" in str(e) and pickle.loads(pickle.dumps(e)).problems == e.problems


@pytest.mark.parametrize(
    ("call", "code", "status"),
    [
        (lambda c: c.predict("nobody", ROWS), "SLIP-E0003", 404),
        (lambda c: c.infer("nobody", ROWS), "SLIP-E0003", 404),
        (lambda c: c.status("nobody"), "SLIP-E0003", 404),
        (lambda c: c.status("../info"), "SLIP-E0001", 400),
        (lambda c: c.rollback("nobody", "why"), "SLIP-E0003", 404),
        (lambda c: c.wait("dep_none"), "SLIP-E0003", 404),
        (lambda c: c.predict("fraud", [{"wrong": 1}]), "SLIP-E0501", 422),
        (lambda c: slipway.Client(c.url, "wrong").status("fraud"), "SLIP-E0005", 401),
        (lambda c: slipway.Client(c.url, "wrong").predict("fraud", ROWS), "SLIP-E0005", 401),
        (lambda c: slipway.Client(c.url, "wrong").deploy(os.environ["NOWHERE"]), "SLIP-E0010", 400),
        (lambda c: c.deploy("zero\0byte"), "SLIP-E0010", 0),
        (lambda c: c.rollback("fraud", ""), "SLIP-E0007", 0),
        (lambda c: c.predict("", ROWS), "SLIP-E0001", 0),
        (lambda c: c.wait(""), "SLIP-E0001", 0),
        (lambda c: c.status("fraud", timeout=0), "SLIP-E0007", 0),
        (lambda c: c.status("fraud", timeout=math.nan), "SLIP-E0007", 0),
        (lambda c: c.explain("SLIP-E9999"), "SLIP-E0003", 404),
        (lambda c: c.explain("--help"), "SLIP-E0003", 404),
    ],
)
def test_mistakes_have_a_code_and_a_next_step(client, monkeypatch, tmp_path, call, code, status):
    monkeypatch.setenv("NOWHERE", str(tmp_path / "none.yaml"))
    e = refused(lambda: call(client))
    assert (e.code, e.status) == (code, status), e
    assert e.next_step and client._settings.token not in str(e)


def test_a_misfit_names_the_field_and_not_the_value(client, golden):
    e = refused(lambda: client.predict("fraud", {**golden[0]["inputs"], "hour": SECRET}))
    assert e.status == 422 and "hour" in e.field


def test_explain(client):
    e = slipway.explain("SLIP-E0301")
    assert e.code == "SLIP-E0301" and e.meaning and e.do and e.next_step


def test_shortcuts_find_the_platform_of_the_home(client, platform, golden, monkeypatch, tmp_path):
    for name in ("SLIPWAY_SERVER", "SLIPWAY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "address").write_text(platform.url + "\n")
    (tmp_path / "owner.token").write_text(platform.token + "\n")
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    assert slipway.predict("fraud", golden[0]["inputs"]) == [golden[0]["outputs"]["predict"]]
    assert slipway._client() is slipway._client()
    assert slipway.status("fraud").name == "fraud" and slipway.deployments("fraud", limit=1)


# Where, and as whom.


def test_the_token_of_the_home_goes_to_no_other_server(monkeypatch, tmp_path):
    for name in ("SLIPWAY_SERVER", "SLIPWAY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert refused(lambda: slipway.Client(home=tmp_path)).code == "SLIP-E0604"
    (tmp_path / "address").write_text("http://127.0.0.1:9")
    assert refused(lambda: slipway.Client(home=tmp_path)).code == "SLIP-E0606"
    (tmp_path / "owner.token").write_text(SECRET)
    assert slipway.Client(home=tmp_path).url == "http://127.0.0.1:9"
    assert refused(lambda: slipway.Client("http://127.0.0.1:10", home=tmp_path)).code == "SLIP-E0606"


@pytest.mark.parametrize(
    ("url", "token", "code"),
    [
        ("nonsense", "t", "SLIP-E0007"),
        ("ftp://127.0.0.1", "t", "SLIP-E0007"),
        ("http://127.0.0.1:99999", "t", "SLIP-E0007"),
        ("http://user@127.0.0.1", "t", "SLIP-E0007"),
        ("http://127.0.0.1/?a=b", "t", "SLIP-E0007"),
        ("http://127.0.0.1\r\nHost: x", "t", "SLIP-E0007"),
        ("http://127.0.0.1", SECRET + "\r\nX: y", "SLIP-E0005"),
        ("http://127.0.0.1", SECRET + "\u20ac", "SLIP-E0005"),
        ("http://192.0.2.1", SECRET, "SLIP-E0603"),
        ("http://127.0.0.1.example.com", SECRET, "SLIP-E0603"),
    ],
)
def test_no_address_and_no_token(url, token, code):
    assert refused(lambda: slipway.Client(url, token)).code == code


def test_the_token_is_in_no_repr():
    c = slipway.Client("https://192.0.2.1/base/", SECRET)
    assert repr(c) == "slipway.Client('https://192.0.2.1/base')" and SECRET not in repr(c._settings)


# Inputs that are none.


@pytest.mark.parametrize(
    "inputs",
    [
        7, "text", b"bytes", None, {}, [{"a": 1}, [1]], {"a": [1], "b": 2}, [{"a": object()}], [{"a": math.inf}],
        [{"a": 1j}], np.float64(1), np.array(["2026-01-01"], "M8[ns]"), pd.Series([1]), pd.DataFrame(),
        pd.DataFrame([[1, 2]], columns=["a", "a"]), [{("a", "b"): 1}], (x for x in ROWS),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_what_is_no_input_is_not_sent(inputs):
    with server(http({"predictions": [1]})) as (c, sent):
        e = refused(lambda: c.predict("x", inputs))
        assert e.code == "SLIP-E0502" and e.next_step and not sent


def test_inputs_without_an_end():
    endless = []
    endless.append(endless)
    with server(http({"predictions": [1]})) as (c, sent):
        assert refused(lambda: c.predict("x", endless)).code == "SLIP-E0502" and not sent


def test_outputs_are_nested_as_their_shape_says():
    metadata = {"inputs": [{"name": "a", "datatype": "FP64", "shape": [-1]}]}
    answer = {"outputs": [{"name": "y", "shape": [2, 2], "data": [1, 2, 3, 4]}, {"name": "z", "shape": [2], "data": [5, 6]}]}
    with server(http(metadata, "200 OK", "Connection: close"), http(answer)) as (c, sent):
        assert c.infer("x", {"a": [1.0, math.nan]}) == {"y": [[1, 2], [3, 4]], "z": [5, 6]}
        body = json.loads(sent[1].partition(b"\r\n\r\n")[2])
        assert body == {"inputs": [{"name": "a", "shape": [2], "datatype": "FP64", "data": [1.0, None]}]}


# Servers that misbehave.


def test_a_prediction_that_was_sent_is_not_sent_again():
    with server(b"") as (c, sent):
        assert refused(lambda: c.predict("x", ROWS)).code == "SLIP-E0604" and len(sent) == 1


def test_a_rollback_that_was_sent_is_not_sent_again():
    busy = http({"code": "SLIP-E0604", "detail": "restarting"}, "503 Service Unavailable", "Connection: close")
    for answer in (b"", busy):
        with server(answer) as (c, sent):
            assert refused(lambda c=c: c.rollback("x", "why")).code == "SLIP-E0604" and len(sent) == 1


def test_a_read_is_sent_again():
    busy = http({"code": "SLIP-E0604", "detail": "restarting"}, "503 Service Unavailable", "Connection: close")
    with server(b"", busy, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", http({"name": "x", "state": "serving"})) as (c, sent):
        assert c.status("x").state == "serving" and len(sent) == 4


def test_a_connection_that_was_closed_meanwhile_is_replaced():
    with server(http({"predictions": [1]})) as (c, sent):
        for n in range(1, 4):
            assert c.predict("x", ROWS) == [1] and len(sent) == n
            assert select.select([c._http._idle[0].sock], [], [], 20)[0]  # its end has come


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    e = refused(lambda: slipway.Client(f"http://127.0.0.1:{port}", SECRET).predict("x", ROWS))
    assert (e.code, e.status, e.next_step) == ("SLIP-E0604", 0, "platform up")


def test_the_time_limit_holds_however_slowly_bytes_come():
    done = threading.Event()

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not done.wait(0.05):
            connection.sendall(b" ")

    with server(drip) as (c, _):
        assert refused(lambda: c.status("x", timeout=0.5)).code == "SLIP-E0504"
        done.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example.com ESMTP\r\n",
        http(b"<html>"),
        http(b"[" * 100_000),
        http(b"\xff\xfe"),
        http([]),
        http({}),
        http({"name": 1, "state": "x"}),
        http({"name": "x", "state": "y", "stable": []}),
        http({"name": "x", "state": "y", "tier": True}),
        http({"name": "x", "state": "y", "tier": 1e999}),
    ],
)
def test_what_is_not_this_platform(answer):
    with server(answer) as (c, _):
        assert refused(lambda: c.status("x")).code in ("SLIP-E0604", "SLIP-E0000")
    with server(answer) as (c, _):
        assert refused(lambda: c.predict("x", ROWS)).code in ("SLIP-E0604", "SLIP-E0000")


@pytest.mark.parametrize("when", ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", 5, "2026-01-01T00:00:00+99:99"])
def test_times_that_are_none(when):
    with server(http({"id": "d", "endpoint": "x", "status": "running", "created": when})) as (c, _):
        assert refused(lambda: c.deployment("d")).code == "SLIP-E0000"


def test_an_answer_that_is_too_large(monkeypatch):
    monkeypatch.setattr(slipway._http, "MAX_ANSWER", 1 << 20)
    with server(http(b" " * (2 << 20))) as (c, _):
        assert refused(lambda: c.status("x")).code == "SLIP-E0009"


def test_an_error_page_of_a_proxy_and_a_message_with_control_characters():
    with server(http(b"<html>", "403 Forbidden")) as (c, _):
        e = refused(lambda: c.status("x"))
        assert (e.code, e.status) == ("SLIP-E0006", 403)
    with server(http({"code": "SLIP-E0003", "detail": "\x1b[2Jgone"}, "404 Not Found")) as (c, _):
        assert "\x1b" not in str(refused(lambda: c.status("x")))


def test_a_redirection_does_not_get_the_token():
    with server(http({"name": "x", "state": "serving"})) as (other, theirs):
        with server(http(b"", "302 Found", f"Location: {other.url}/")) as (c, _):
            assert refused(lambda: c.status("x")).status == 302
        assert not theirs


def test_waiting_outlives_a_restart_and_ends_in_time():
    running = {"id": "dep_1", "endpoint": "x", "status": "running"}
    close = "Connection: close"
    with server(http(running, "200 OK", close), b"", http({**running, "status": "succeeded"})) as (c, sent):
        assert c.wait("dep_1", timeout=30).status == "succeeded" and len(sent) == 3
    with server(http(running, "200 OK", close)) as (c, _):
        assert refused(lambda: c.wait("dep_1", timeout=0.5)).code == "SLIP-E0504"
    with server(http({**running, "status": "rolled back", "message": "worse"})) as (c, _):
        with pytest.raises(slipway.DeploymentFailed, match="rolled back: worse") as e:
            c.wait("dep_1", timeout=5)
        assert e.value.code == "SLIP-E0402"


# The program.


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exec sleep 30", "SLIP-E0504"),
        ("echo junk >&2; exit 3", "SLIP-E0000"),
        ("echo junk", "SLIP-E0000"),
        ("echo 7 >&2; exit 1", "SLIP-E0000"),
    ],
)
def test_a_program_that_misbehaves(monkeypatch, tmp_path, script, code):
    program = pathlib.Path(tmp_path, "platform")
    program.write_text("#!/bin/sh\n" + script + "\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    c = slipway.Client("http://127.0.0.1:9", SECRET)
    assert refused(lambda: c.deploy(tmp_path, timeout=1 if "sleep" in script else 20)).code == code


def test_no_program(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    e = refused(slipway.find_platform_bin)
    assert e.code == "SLIP-E0010" and "slipway-platform" in e.next_step


def test_own_authority(tmp_path, monkeypatch):
    """A platform whose certificate no system trusts: only with its authority's file, and by no other."""
    home = tmp_path / "h"
    up = subprocess.Popen(
        [os.environ["PLATFORM"], "up", "--json", "--home", str(home), "--listen", "127.0.0.1:0", "--tls-self-signed"],
        stdout=subprocess.PIPE,
    )
    try:
        ready = json.loads(up.stdout.readline())
        url, token, ca = ready["url"], (home / "owner.token").read_text().strip(), ready["ca"]
        with slipway.Client(url, token, ca_file=ca) as c:
            assert c.endpoints() == []
        with pytest.raises(slipway.Error) as refused:
            slipway.Client(url, token).endpoints()
        assert refused.value.code == "SLIP-E1106" and "not to be trusted" in str(refused.value)
        monkeypatch.setenv("SLIPWAY_CA", ca)
        with slipway.Client(url, token) as c:
            assert c.endpoints() == []
        for wrong in (home / "owner.token", tmp_path / "none"):
            with pytest.raises(slipway.Error) as refused:
                slipway.Client(url, token, ca_file=wrong)
            assert refused.value.code == "SLIP-E1106"
    finally:
        up.send_signal(signal.SIGINT)
        up.wait()
