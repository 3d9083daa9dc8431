"""A model that answers what it is asked, in every datatype, for Slipway and for MLServer."""

import json
import pathlib
import textwrap

# Datatypes of the protocol with numpy's names.
DATATYPES = {
    "BOOL": "bool",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "str",
}

SERVER = '''
"""Answers each input as an output of the same name (Open Inference Protocol, JSON)."""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({"ready": True})

    def do_POST(self):
        inputs = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        self.answer({"model_name": "identity", "outputs": inputs})

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
'''

MLSERVER = '''
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Identity(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = [ResponseOutput(name=i.name, shape=i.shape, datatype=i.datatype, data=i.data) for i in payload.inputs]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
'''


# Those that gRPC carries in contents too: a model that takes half precision can be asked raw only.
TYPED = [kind for kind in DATATYPES if kind != "FP16"]


def tensors(datatypes):
    """The inputs, which are the outputs too: two columns of each datatype."""
    return [{"name": kind.lower(), "datatype": kind, "shape": [-1, 2]} for kind in datatypes]


def for_slipway(path: pathlib.Path, name="identity", datatypes=TYPED):
    """A project with the model as a custom server."""
    model = path / "model"
    model.mkdir(parents=True)
    (model / "server.py").write_text(SERVER.lstrip())
    columns = [
        {"name": t["name"], "type": "tensor", "tensor-spec": {"dtype": DATATYPES[t["datatype"]], "shape": [-1, 2]}}
        for t in tensors(datatypes)
    ]
    signature = {"inputs": json.dumps(columns), "outputs": json.dumps(columns)}
    (model / "MLmodel").write_text(json.dumps({"flavors": {"identity": {}}, "signature": signature}))
    (path / "platform.yaml").write_text(
        textwrap.dedent(f"""\
            apiVersion: platform/v1
            kind: RealtimeModel
            name: {name}
            tier: 4
            owner: {{team: inference}}
            model: {{source: ./model, command: [python3, -B, server.py, "{{port}}"]}}
            resources: {{cpu: 500m, memory: 256Mi}}
            rollout: {{steps: [{{weight: 100}}], on_no_data: continue, keep_previous_warm: 0s}}
            """)
    )


def for_mlserver(path: pathlib.Path, http: int, grpc: int, metrics: int):
    """A directory that `mlserver start` serves."""
    path.mkdir(parents=True)
    (path / "identity.py").write_text(MLSERVER.lstrip())
    (path / "model-settings.json").write_text(
        json.dumps(
            {
                "name": "identity",
                "implementation": "identity.Identity",
                "parameters": {"version": "1"},
                "platform": "python_identity",
                "versions": ["1"],
                "inputs": tensors(TYPED),
                "outputs": tensors(TYPED),
            }
        )
    )
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0}
    (path / "settings.json").write_text(json.dumps(settings | {"debug": False}))
