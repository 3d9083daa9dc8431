"""The extension for binary tensor data, as Triton and KServe document it."""

import json

import checks
from checks import BINARY, SECONDS, Skipped, check, expect

HEADER = "Inference-Header-Content-Length"


def claimed(t):
    if "binary_tensor_data" not in t.get("/v2").json().get("extensions", []):
        raise Skipped("the server does not name binary_tensor_data among its extensions")


def binary(body, which=lambda i: True):
    """The body of a request whose chosen inputs are binary, and the length of its JSON."""
    blobs = []
    for i, x in enumerate(body["inputs"]):
        if which(i):
            blob = checks.raw(x["datatype"], x.pop("data"))
            x["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
    head = json.dumps(body).encode()
    return head, head + b"".join(blobs)


def post(t, head, data, length=None):
    headers = {HEADER: str(len(head) if length is None else length), "Content-Type": "application/octet-stream"}
    return t.http.post(t.url + t.path + "/infer", data=data, headers=headers, timeout=SECONDS)


def outputs(r):
    """The outputs of an answer by name, with their elements, wherever they lie."""
    expect(r.status_code == 200, f"status {r.status_code}: {r.text[:200]}")
    size = r.headers.get(HEADER)
    body = json.loads(r.content[: int(size)] if size else r.content)
    rest = r.content[int(size) :] if size else b""
    out = {}
    for o in body["outputs"]:
        n = o.get("parameters", {}).get("binary_data_size")
        if n is not None:
            expect(size, f"binary data without {HEADER}")
            expect("data" not in o, f"{o['name']} has data beside binary data")
            expect(n <= len(rest), f"{o['name']} is longer than the body")
            o["data"], rest = checks.from_raw(o["datatype"], rest[:n]), rest[n:]
            o["binary"] = True
        out[o["name"]] = o
    expect(not rest, f"{len(rest)} bytes more than the outputs")
    return out


def same(t, got):
    """Compares answers with those to the same request in JSON."""
    for name, o in outputs(t.infer(checks.example(t.metadata()))).items():
        expect(checks.flat(got[name]["data"]) == checks.flat(o["data"]), f"{name} is answered otherwise than in JSON")


@check(BINARY, "Request", "inputs may be binary: every one")
def binary_inputs(t):
    claimed(t)
    same(t, outputs(post(t, *binary(checks.example(t.metadata())))))


@check(BINARY, "Request", "inputs may be binary: some of them")
def some_binary_inputs(t):
    claimed(t)
    same(t, outputs(post(t, *binary(checks.example(t.metadata()), lambda i: i % 2 == 0))))


@check(BINARY, "Request", "binary_data_output asks for all outputs as binary data")
def binary_output(t):
    claimed(t)
    body = checks.example(t.metadata())
    body["parameters"] = {"binary_data_output": True}
    got = outputs(t.infer(body))
    expect(all(o.get("binary") for o in got.values()), "some outputs are JSON")
    same(t, got)


@check(BINARY, "Request", "binary_data asks for one output as binary data, whatever binary_data_output says")
def one_binary_output(t):
    claimed(t)
    names = [o["name"] for o in t.metadata()["outputs"]]
    body = checks.example(t.metadata())
    body["outputs"] = [{"name": n, "parameters": {"binary_data": n == names[-1]}} for n in names]
    got = outputs(t.infer(body))
    expect([n for n in names if got[n].get("binary")] == [names[-1]], "other outputs are binary than were asked for")
    same(t, got)


@check(BINARY, "Response", "the header says the length of the JSON, the content type application/octet-stream")
def binary_headers(t):
    claimed(t)
    body = checks.example(t.metadata())
    body["parameters"] = {"binary_data_output": True}
    r = t.infer(body)
    expect(r.headers.get(HEADER, "").isdigit(), f"{HEADER} is {r.headers.get(HEADER)!r}")
    expect(r.headers.get("Content-Type") == "application/octet-stream", f"Content-Type is {r.headers.get('Content-Type')!r}")


def broken(name, rule, send):
    def f(t):
        claimed(t)
        r = send(t)
        expect(400 <= r.status_code < 500, f"status {r.status_code}")

    f.__name__ = name
    check(BINARY, "Request", rule + " is an error below 500")(f)


def shorter(t):
    head, data = binary(checks.example(t.metadata()))
    return post(t, head, data[:-1])


def longer(t):
    head, data = binary(checks.example(t.metadata()))
    return post(t, head, data + b"x")


def beyond(t):
    head, data = binary(checks.example(t.metadata()))
    return post(t, head, data, len(data) + 1)


broken("binary_short", "a body that ends before its data", shorter)
broken("binary_long", "a body that goes on after its data", longer)
broken("binary_header_beyond", "a header length beyond the body", beyond)
