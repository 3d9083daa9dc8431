"""KServe's clients, REST and gRPC, against the models of identity.py: kserve_client.py URL TOKEN-FILE."""

import asyncio
import pathlib
import sys

import identity
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from values import array, texts

url, token_file = sys.argv[1:]
headers = {"Authorization": "Bearer " + pathlib.Path(token_file).read_text().strip()}


def request(name, kinds, binary):
    tensors = []
    for kind in kinds:
        tensor = InferInput(kind.lower(), [2, 2], kind)
        tensor.set_data_from_numpy(array(kind), binary_data=binary)
        tensors.append(tensor)
    return InferRequest(name, tensors, request_id="order-7")


def check(answer, kinds):
    assert answer.id == "order-7", answer.id
    got = {o.name: o for o in answer.outputs}
    for kind in kinds:
        np.testing.assert_array_equal(texts(got[kind.lower()].as_numpy()), array(kind), err_msg=kind)


async def rest():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url, headers=headers)
    assert await client.is_server_ready(url, headers=headers)
    assert await client.is_model_ready(url, "identity", headers=headers)
    check(await client.infer(url, request("identity", identity.TYPED, False), "identity", headers=dict(headers)), identity.TYPED)
    check(await client.infer(url, request("all", identity.DATATYPES, True), "all", headers=dict(headers)), identity.DATATYPES)
    await client.close()


async def grpc():
    client = InferenceGRPCClient(url.removeprefix("http://"))
    metadata = [("authorization", headers["Authorization"])]
    assert await client.is_server_live(headers=metadata)
    assert await client.is_server_ready(headers=metadata)
    assert await client.is_model_ready("identity", headers=metadata)
    check(await client.infer(request("identity", identity.TYPED, False), headers=metadata), identity.TYPED)
    check(await client.infer(request("all", identity.DATATYPES, True), headers=metadata), identity.DATATYPES)
    await client.close()


asyncio.run(rest())
asyncio.run(grpc())
