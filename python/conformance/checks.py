"""What a check is, and what it says of a server. No check knows which server it asks."""

import dataclasses
import json
import pathlib
import traceback

import grpc
import numpy as np
import requests

PROTO = pathlib.Path(__file__).resolve().parents[2] / "internal/gateway/openinference/pb"

REST = "inference_rest.md"
GRPC = "inference_grpc.md"
BINARY = "Triton extension_binary_data.md"
REPOSITORY = "Triton extension_model_repository.md"

SECONDS = 30


class Departure(Exception):
    """The server does something other than the text says. The message says what."""


class Skipped(Exception):
    """The server does not claim the extension, or the model cannot show it."""


def expect(condition, what):
    if not condition:
        raise Departure(what)


@dataclasses.dataclass(frozen=True)
class Check:
    name: str
    document: str
    section: str
    rule: str  # what the text says, in our words
    run: object

    @property
    def transport(self):
        return {REST: "REST", GRPC: "gRPC", BINARY: "binary", REPOSITORY: "repository"}[self.document]


CHECKS: list[Check] = []


def check(document, section, rule):
    """Registers a function of a target as a check of one rule."""

    def register(f):
        CHECKS.append(Check(f.__name__, document, section, rule, f))
        return f

    return register


@dataclasses.dataclass
class Target:
    """A server under test, and a model on it of which nothing is known but its metadata."""

    url: str  # http://host:port
    address: str  # host:port of gRPC
    model: str
    token: str = ""

    def __post_init__(self):
        self.http = requests.Session()
        self.http.trust_env = False
        if self.token:
            self.http.headers["Authorization"] = "Bearer " + self.token
        self.pb, self.services = grpc.protos_and_services("openinference.proto")
        self.channel = grpc.insecure_channel(self.address)
        self.stub = self.services.GRPCInferenceServiceStub(self.channel)

    def close(self):
        self.http.close()
        self.channel.close()

    # REST

    def get(self, path):
        return self.http.get(self.url + path, timeout=SECONDS)

    def post(self, path, body):
        if isinstance(body, (bytes, str)):
            return self.http.post(self.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=SECONDS)
        return self.http.post(self.url + path, json=body, timeout=SECONDS)

    @property
    def path(self):
        return f"/v2/models/{self.model}"

    def infer(self, body, path=None):
        return self.post((path or self.path) + "/infer", body)

    def metadata(self):
        r = self.get(self.path)
        expect(r.status_code == 200, f"model metadata answer {r.status_code}: {r.text[:200]}")
        return r.json()

    # gRPC

    def call(self, method, request, **kwargs):
        metadata = [("authorization", "Bearer " + self.token)] if self.token else []
        return getattr(self.stub, method)(request, metadata=metadata, timeout=SECONDS, **kwargs)

    def refused(self, method, request):
        """The code with which a call fails, which it must."""
        try:
            self.call(method, request)
        except grpc.RpcError as e:
            return e.code()
        raise Departure(f"{method} succeeds")


NUMPY = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
    "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
    "BYTES": np.object_,
}  # fmt: skip

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def values(datatype, n):
    """n values, of which the ends of a type's range are two where JSON has them exactly."""
    kind = NUMPY[datatype]
    if datatype == "BYTES":
        return [["one", "zwölf", ""][i % 3] for i in range(n)]
    if datatype == "BOOL":
        return [i % 2 == 0 for i in range(n)]
    if datatype.startswith("FP"):
        return [float(kind(x)) for i in range(n) for x in [[0.5, -1.25, 100.0][i % 3]]]
    ends = np.iinfo(kind)
    return [int([ends.max, ends.min, 7][i % 3]) for i in range(n)]


def example(metadata, rows=3):
    """A valid request for a model, by its metadata alone."""
    inputs = []
    for t in metadata["inputs"]:
        shape = [rows, *[max(d, 1) for d in t["shape"][1:]]]
        inputs.append({"name": t["name"], "shape": shape, "datatype": t["datatype"], "data": values(t["datatype"], int(np.prod(shape)))})
    return {"id": "conformance-1", "inputs": inputs}


def raw(datatype, data):
    """Elements as little-endian bytes."""
    if datatype == "BYTES":
        texts = [x.encode() for x in data]
        return b"".join(len(x).to_bytes(4, "little") + x for x in texts)
    kind = np.dtype(NUMPY[datatype]).newbyteorder("<")
    return np.array(data, dtype=kind).tobytes()


def from_raw(datatype, data):
    """The elements of little-endian bytes."""
    if datatype != "BYTES":
        return np.frombuffer(data, dtype=np.dtype(NUMPY[datatype]).newbyteorder("<")).tolist()
    out = []
    while data:
        n = int.from_bytes(data[:4], "little")
        expect(4 + n <= len(data), "an element of BYTES is longer than what is left")
        out.append(data[4 : 4 + n].decode())
        data = data[4 + n :]
    return out


def flat(data):
    """Tensor data, nested or not, as one list."""
    return [x for item in data for x in flat(item)] if isinstance(data, list) and any(isinstance(x, list) for x in data) else list(data)


def run(target):
    """The results of all checks, as dictionaries."""
    out = []
    for c in CHECKS:
        result = {"check": c.name, "transport": c.transport, "document": c.document, "section": c.section, "rule": c.rule}
        try:
            c.run(target)
            result |= {"outcome": "conforms"}
        except Skipped as e:
            result |= {"outcome": "skipped", "what": str(e)}
        except Departure as e:
            result |= {"outcome": "departs", "what": str(e)}
        except Exception as e:  # noqa: BLE001 - a server may do anything, and the next check is asked all the same
            last = traceback.extract_tb(e.__traceback__)[-1]
            text = e.details() if isinstance(e, grpc.Call) else str(e)
            code = f"{e.code().name}: " if isinstance(e, grpc.Call) else ""
            result |= {"outcome": "departs", "what": f"{type(e).__name__} {code}{text}"[:300], "line": last.lineno}
        out.append(result)
    return out


def table(results):
    """The results as lines of Markdown."""
    lines = ["| check | section | outcome |", "| --- | --- | --- |"]
    for r in results:
        what = r["outcome"] + (": " + r["what"].replace("|", "\\|").replace("\n", " ") if r.get("what") else "")
        lines.append(f"| {r['transport']}: {r['rule']} | {r['document']}, {r['section']} | {what} |")
    return "\n".join(lines)


def dump(results, path):
    pathlib.Path(path).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
