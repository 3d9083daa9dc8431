"""A model server of one's own: delivery times, answered over HTTP by the Open Inference
Protocol, version 2 (https://github.com/kserve/open-inference-protocol), as JSON.

    python server.py --port 9000        # in a directory with parameters.json

train.py copies this file into model/, beside the parameters that it fits. The platform
starts it there and asks

    GET  /v2/health/ready           200 when it can answer
    POST /v2/models/{model}/infer   rows in, minutes out

The rest of the protocol is for people and for other clients. Nothing but Python's standard
library is needed; to use another language, speak the same protocol.
"""

import argparse
import json
import math
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_BODY = 8 << 20  # bytes of a request
MAX_ROWS = 65_536
IDLE = 120  # seconds that a connection is kept; the platform gives its own up after 90

VEHICLES = ("bike", "car", "van")
INPUTS = {"vehicle": "BYTES", "distance_km": "FP64", "stops": "INT64", "rush_hour": "BOOL"}
OUTPUTS = {"predict": "FP64"}  # minutes


class Refused(Exception):
    """A request that cannot be answered. Its text goes to the caller: it quotes no values."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Model:
    """Minutes as a linear function of a row, fitted by train.py for each vehicle."""

    def __init__(self, weights):
        if set(weights) != set(VEHICLES) or any(len(w) != 4 for w in weights.values()):
            raise ValueError("the parameters do not fit this server: run train.py again")
        self.weights = weights

    @classmethod
    def load(cls, directory):
        return cls(json.loads(pathlib.Path(directory, "parameters.json").read_text()))

    @staticmethod
    def terms(distance_km, stops, rush_hour):
        return (1.0, distance_km, float(stops), distance_km * rush_hour)

    def minutes(self, vehicle, distance_km, stops, rush_hour):
        terms = self.terms(distance_km, stops, rush_hour)
        return sum(w * x for w, x in zip(self.weights[vehicle], terms))


def fits(datatype, value):
    """Whether a JSON value is one of a type of the protocol."""
    if datatype == "BYTES":
        return isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int if datatype == "INT64" else (int, float)):
        return False
    return abs(value) < 1 << 63 if isinstance(value, int) else math.isfinite(value)


def columns(request):
    """The inputs of a request by name, each a list of as many values."""
    tensors = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(tensors, list) or len(tensors) != len(INPUTS):
        raise Refused(422, f"inputs must be {len(INPUTS)} tensors: " + ", ".join(INPUTS))
    found = {}
    for i, tensor in enumerate(tensors):
        place = f"inputs[{i}]"
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str) or name not in INPUTS or name in found:
            raise Refused(422, f"{place}.name must be one of {', '.join(INPUTS)}, each once")
        data, shape = tensor.get("data"), tensor.get("shape")
        if tensor.get("datatype") != INPUTS[name]:
            raise Refused(422, f"{place}.datatype must be {INPUTS[name]}")
        if not isinstance(data, list) or shape != [len(data)] or not 0 < len(data) <= MAX_ROWS:
            raise Refused(422, f"{place}.data must have as many values as shape says, from 1 to {MAX_ROWS}")
        for row, value in enumerate(data):
            if not fits(INPUTS[name], value):
                raise Refused(422, f"{place}.data[{row}] is no {INPUTS[name]}")
        found[name] = data
    if len({len(data) for data in found.values()}) != 1:
        raise Refused(422, "the inputs have different numbers of rows")
    return found


def infer(model, name, request):
    """The answer to a request. It raises Refused for one that does not fit."""
    found = columns(request)
    for i, vehicle in enumerate(found["vehicle"]):
        if vehicle not in VEHICLES:
            raise Refused(422, f"vehicle of row {i} is none of {', '.join(VEHICLES)}")
    for i, distance in enumerate(found["distance_km"]):
        if not 0 <= distance <= 1000:
            raise Refused(422, f"distance_km of row {i} is not from 0 to 1000")
    for i, stops in enumerate(found["stops"]):
        if not 0 <= stops <= 1000:
            raise Refused(422, f"stops of row {i} is not from 0 to 1000")
    answer = [model.minutes(*row) for row in zip(*(found[column] for column in INPUTS))]
    out = {"model_name": name, "outputs": [{"name": "predict", "datatype": "FP64", "shape": [len(answer)], "data": answer}]}
    if isinstance(request.get("id"), str):
        out["id"] = request["id"]
    return out


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    server_version, sys_version = "server", ""
    timeout = IDLE
    wbufsize = -1  # head and body go out together
    disable_nagle_algorithm = True
    error_content_type = "application/json"  # of what is no request that this server knows
    error_message_format = '{"error": "the server does not know such requests"}'

    def do_GET(self):
        self.close_connection |= "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        model = f"/v2/models/{self.server.name}"
        if self.path in ("/v2/health/live", "/v2/health/ready", f"{model}/ready"):
            self.answer(200, {"name": self.server.name, "ready": True})
        elif self.path == "/v2":
            self.answer(200, {"name": "server", "extensions": []})
        elif self.path == model:
            tensors = [[{"name": n, "datatype": d, "shape": [-1]} for n, d in io.items()] for io in (INPUTS, OUTPUTS)]
            self.answer(200, {"name": self.server.name, "platform": "own", "inputs": tensors[0], "outputs": tensors[1]})
        else:
            self.answer(404, {"error": "there is nothing at this path"})

    def do_POST(self):
        try:
            body = self.body()
            if self.path != f"/v2/models/{self.server.name}/infer":
                raise Refused(404, "there is nothing at this path")
            try:
                request = json.loads(body, parse_constant=no_constant)
            except (ValueError, RecursionError):
                raise Refused(400, "the request is no JSON") from None
            self.answer(200, infer(self.server.model, self.server.name, request))
        except Refused as refused:
            self.answer(refused.status, {"error": str(refused)})
        except OSError:
            self.close_connection = True  # the caller has left, or sends no more
        except Exception as error:  # the server goes on; the text of the error may quote the input
            self.log_error("a request failed: %s", type(error).__name__)
            self.answer(500, {"error": "the server failed"})

    def body(self):
        """The whole body. After a refusal the rest of it is not read: the connection ends."""
        length = self.headers.get("Content-Length", "")
        ends, self.close_connection = self.close_connection, True
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
            raise Refused(411, "the request must say its Content-Length")
        if len(length) > 18 or int(length) > MAX_BODY:
            raise Refused(413, f"the request is larger than {MAX_BODY >> 20} MiB")
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise ConnectionError
        self.close_connection = ends
        return data

    def answer(self, status, document):
        data = json.dumps(document, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code="-", size="-"):
        """The platform counts and logs requests."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, name, model):
        super().__init__(address, Handler)
        self.name, self.model = name, model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="of 127.0.0.1; 0 takes a free one")
    parser.add_argument("--name", default="model", help="of the model, in its paths")
    args = parser.parse_args()
    server = Server(("127.0.0.1", args.port), args.name, Model.load("."))
    print(f"ready on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
