"""Triton's and KServe's clients get back what they sent, in every datatype, over REST and gRPC."""

import asyncio
import pathlib
import subprocess
import sys

import identity
import numpy as np
import pytest
import requests
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.utils
from values import array, texts

HERE = pathlib.Path(__file__).resolve().parent
KINDS = list(identity.DATATYPES)


def check(answer, kinds):
    for kind in kinds:
        got = answer.as_numpy(kind.lower())
        np.testing.assert_array_equal(texts(got), array(kind), err_msg=kind)
        assert kind == "BYTES" or got.dtype == array(kind).dtype


def inputs(module, kinds, **how):
    out = []
    for kind in kinds:
        tensor = module.InferInput(kind.lower(), [2, 2], kind)
        out.append(tensor.set_data_from_numpy(array(kind), **how))
    return out


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_triton_http(slipway, binary, compression):
    kinds = KINDS if binary else identity.TYPED  # its JSON has no half precision
    client = tritonclient.http.InferenceServerClient(slipway.address)
    answer = client.infer(
        "all" if binary else "identity",
        inputs(tritonclient.http, kinds, binary_data=binary),
        outputs=[tritonclient.http.InferRequestedOutput(k.lower(), binary_data=binary) for k in kinds],
        request_id="order-7",
        headers=slipway.headers,
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert answer.get_response()["id"] == "order-7"
    check(answer, kinds)
    client.close()


@pytest.fixture
def triton(slipway):
    with tritonclient.grpc.InferenceServerClient(slipway.address) as client:
        yield client


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_triton_grpc(slipway, triton, compression):
    answer = triton.infer(
        "all", inputs(tritonclient.grpc, KINDS), request_id="order-7", headers=slipway.headers, compression_algorithm=compression
    )
    assert answer.get_response().id == "order-7"
    check(answer, KINDS)


def test_triton_grpc_asks_for_one_output(slipway, triton):
    answer = triton.infer(
        "identity", inputs(tritonclient.grpc, identity.TYPED), outputs=[tritonclient.grpc.InferRequestedOutput("int8")], headers=slipway.headers
    )
    assert [o.name for o in answer.get_response().outputs] == ["int8"]
    check(answer, ["INT8"])


def test_triton_grpc_sees_server_and_models(slipway, triton):
    headers = slipway.headers
    assert triton.is_server_live(headers=headers)
    assert triton.is_server_ready(headers=headers)
    assert triton.is_model_ready("identity", headers=headers)
    assert triton.is_model_ready("identity", "1", headers=headers)
    assert triton.get_server_metadata(headers=headers).name == "slipway"
    about = triton.get_model_metadata("all", headers=headers, as_json=True)
    assert [t["datatype"] for t in about["inputs"]] == KINDS
    index = triton.get_model_repository_index(headers=headers)
    assert {m.name: m.state for m in index.models} == {"identity": "READY", "all": "READY"}
    triton.load_model("identity", headers=headers)
    with pytest.raises(tritonclient.utils.InferenceServerException, match="deployments say"):
        triton.unload_model("identity", headers=headers)


def test_triton_grpc_is_told_what_is_wrong(slipway, triton):
    with pytest.raises(tritonclient.utils.InferenceServerException, match="token") as wrong:
        triton.infer("identity", inputs(tritonclient.grpc, identity.TYPED))
    assert "UNAUTHENTICATED" in wrong.value.status()
    with pytest.raises(tritonclient.utils.InferenceServerException, match="int8") as wrong:
        triton.infer("identity", inputs(tritonclient.grpc, ["BOOL"]), headers=slipway.headers)
    assert "INVALID_ARGUMENT" in wrong.value.status()


def test_triton_grpc_streams(slipway, triton):
    answers = []
    triton.start_stream(callback=lambda result, error: answers.append((result, error)), headers=slipway.headers)
    for i in range(3):
        triton.async_stream_infer("identity", inputs(tritonclient.grpc, identity.TYPED), request_id=str(i))
    triton.async_stream_infer("identity", inputs(tritonclient.grpc, ["BOOL"]), request_id="wrong")
    triton.stop_stream()
    assert [r.get_response().id for r, _ in answers[:3]] == ["0", "1", "2"]
    check(answers[0][0], identity.TYPED)
    assert "int8" in str(answers[3][1])


def test_triton_grpc_asyncio(slipway):
    async def ask():
        async with tritonclient.grpc.aio.InferenceServerClient(slipway.address) as client:
            calls = [client.infer("all", inputs(tritonclient.grpc, KINDS), headers=slipway.headers) for _ in range(8)]
            return await asyncio.gather(*calls)

    for answer in asyncio.run(ask()):
        check(answer, KINDS)


def test_kserve(slipway):
    """KServe's messages have the names of Triton's, so that its client needs a process of its own."""
    command = [sys.executable, str(HERE / "kserve_client.py"), slipway.url, slipway.token_file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", identity.TYPED)
def test_requests_and_numpy(slipway, kind):
    """JSON has every datatype but halves to the last bit; the other inputs are as they were."""
    body = {
        "inputs": [{"name": k.lower(), "shape": [2, 2], "datatype": k, "data": array(k).tolist()} for k in identity.TYPED],
        "outputs": [{"name": kind.lower()}],
    }
    r = requests.post(slipway.url + "/v2/models/identity/infer", json=body, headers=slipway.headers, timeout=10)
    assert r.status_code == 200, r.text
    (output,) = r.json()["outputs"]
    np.testing.assert_array_equal(np.array(output["data"], dtype=array(kind).dtype).reshape(2, 2), array(kind))


def test_requests_to_invocations(slipway):
    body = {"inputs": {k.lower(): array(k).tolist() for k in identity.TYPED}}
    r = requests.post(slipway.url + "/endpoints/identity/invocations", json=body, headers=slipway.headers, timeout=10)
    assert r.status_code == 200, r.text
    rows = r.json()["predictions"]
    assert [row["int64"] for row in rows] == array("INT64").tolist()
    assert [row["bytes"] for row in rows] == array("BYTES").tolist()
