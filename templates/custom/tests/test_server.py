"""What must hold of the model and its server, apart from what the platform checks by itself.

    python train.py
    python -m pytest
"""

import http.client
import json
import socket
import subprocess
import sys

import pytest

from server import INPUTS, MAX_BODY, OUTPUTS, Model
from train import HERE, deliveries, scores

ROW = {"vehicle": "car", "distance_km": 5.0, "stops": 2, "rush_hour": False}


@pytest.fixture(scope="module")
def port():
    """The port of a server that was started as platform.yaml has it started: in model/."""
    assert (HERE / "model").exists(), "run python train.py first"
    command = [sys.executable, "-B", "server.py", "--port", "0", "--name", "x"]
    with subprocess.Popen(command, cwd=HERE / "model", stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline().rpartition(":")[2])
        finally:
            server.terminate()


def call(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body)
    response = connection.getresponse()
    document = json.loads(response.read())
    connection.close()
    return response.status, document


def tensors(rows):
    return [{"name": n, "datatype": d, "shape": [len(rows)], "data": [row[n] for row in rows]} for n, d in INPUTS.items()]


def infer(port, inputs):
    return call(port, "POST", "/v2/models/x/infer", json.dumps({"id": "7", "inputs": inputs}))


def minutes(port, rows):
    status, document = infer(port, tensors(rows))
    assert status == 200, document
    return document["outputs"][0]["data"]


def test_the_signature_is_what_the_server_takes():
    signature = json.loads((HERE / "model" / "MLmodel").read_text())["signature"]
    assert {c["name"]: c["type"] for c in json.loads(signature["inputs"])} == {
        "vehicle": "string", "distance_km": "double", "stops": "long", "rush_hour": "boolean"}  # fmt: skip
    assert [c["name"] for c in json.loads(signature["outputs"])] == list(OUTPUTS)


def test_the_goldens_are_the_answers_of_this_server(port):
    records = [json.loads(line) for line in (HERE / "golden.jsonl").read_text().splitlines()]
    assert len(records) >= 40
    got = minutes(port, [r["inputs"] for r in records])
    assert got == pytest.approx([r["outputs"]["predict"] for r in records], abs=1e-6)


def test_it_estimates_deliveries_that_it_has_not_seen():
    mae, r2 = scores(Model.load(HERE / "model"), deliveries(1000, seed=11))
    assert mae < 3.5 and r2 > 0.9


@pytest.mark.parametrize("change", [{"distance_km": 9.0}, {"stops": 6}, {"rush_hour": True}, {"vehicle": "van"}])
def test_what_delays_takes_longer(port, change):
    before, after = minutes(port, [ROW, {**ROW, **change}])
    assert after > before + 1


def test_it_is_ready_and_says_what_it_takes(port):
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/x/ready"):
        assert call(port, "GET", path) == (200, {"name": "x", "ready": True})
    status, about = call(port, "GET", "/v2/models/x")
    assert status == 200 and {t["name"]: t["datatype"] for t in about["inputs"]} == INPUTS
    status, document = infer(port, tensors([ROW]))
    assert (status, document["id"], document["outputs"][0]["shape"]) == (200, "7", [1])


@pytest.mark.parametrize(
    "change",
    [
        {"vehicle": "boat-of-a-customer"}, {"distance_km": -1.0}, {"distance_km": "far"}, {"distance_km": None},
        {"distance_km": 10**400}, {"stops": 1.5}, {"stops": True}, {"stops": 1 << 40}, {"rush_hour": 1},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_not_quoted(port, change):
    status, document = infer(port, tensors([{**ROW, **change}]))
    assert status == 422 and any(place in document["error"] for place in (*change, "inputs["))
    assert "boat-of-a-customer" not in document["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[" * 200_000, 400), (b"\xff", 400), (b"1" * 5000, 400), (b"NaN", 400),
        (b"[]", 422), (b'{"inputs": 7}', 422), (b'{"inputs": [1, 2, 3, 4]}', 422), (b'{"inputs": []}', 422),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(port, body, status):
    got, document = call(port, "POST", "/v2/models/x/infer", body)
    assert got == status and document["error"]
    assert len(minutes(port, [ROW])) == 1  # and the server goes on


def test_tensors_that_do_not_fit_each_other_are_refused(port):
    good = tensors([ROW, ROW])
    for bad in (good[:3], [*good[:3], good[0]], [*good[:3], tensors([ROW])[3]], [{**good[0], "shape": [3]}, *good[1:]],
                [{**good[0], "datatype": "FP64"}, *good[1:]], [{**good[0], "name": ["x"]}, *good[1:]]):  # fmt: skip
        assert infer(port, bad)[0] == 422


def test_bodies_are_bounded_before_they_are_read(port):
    for head, status in (
        (f"Content-Length: {MAX_BODY + 1}", b"413"), ("Content-Length: " + "9" * 5000, b"413"), ("Content-Length: -1", b"411"),
        ("Transfer-Encoding: chunked", b"411"), ("X-None: 1", b"411"),
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(f"POST /v2/models/x/infer HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
            with s.makefile("rb") as answer:
                assert answer.readline().split()[1] == status
                assert b"Connection: close" in answer.read()  # to its end: the server closes


def test_paths_and_methods_that_are_none(port):
    assert call(port, "GET", "/secrets")[0] == 404
    assert call(port, "POST", "/v2/models/other/infer", "{}")[0] == 404
    assert call(port, "DELETE", "/v2")[0] == 501


def test_parameters_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="train.py"):
        Model({"car": [1.0]})
