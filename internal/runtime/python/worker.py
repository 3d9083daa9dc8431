"""Answers batches with one Python model: what `platform` starts for each worker of a replica.

It reads frames from the Unix socket at descriptor 3 and answers them in order; package runtime
describes the protocol, package tensor the form of a batch. It needs numpy, what the model itself
needs, and nothing else. At descriptor 5 is the model as JSON; see type description in model.go.
"""

import io
import json
import os
import socket
import struct
import sys

PROTOCOL = 2
MAX_FRAME = 64 << 20
HELLO, PREDICT, READY, CANCEL, RESULT, ERROR = 1, 2, 3, 4, 5, 6
INTERNAL = 0
CODE_MODEL_FAILED = "SLIP-E0506"
NUMPY = ["", "b1", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f4", "<f8", None, "<f2"]
BYTES, BF16 = 12, 14


class Unfit(Exception):
    """An answer that is none. Its text quotes no value."""


class Stream:
    """Frames over a socket."""

    def __init__(self, sock):
        self.sock = sock

    def read(self, n):
        data = bytearray(n)
        view, at = memoryview(data), 0
        while at < n:
            got = self.sock.recv_into(view[at:])
            if got == 0:
                raise EOFError
            at += got
        return data

    def next(self):
        length, kind, ident = struct.unpack("<IBQ", self.read(13))
        if not 9 <= length <= MAX_FRAME:
            raise EOFError
        return kind, ident, self.read(length - 9)

    def send(self, kind, ident, body):
        self.sock.sendall(struct.pack("<IBQ", 9 + len(body), kind, ident) + body)

    def fail(self, ident, message, place=""):
        parts = [CODE_MODEL_FAILED, place, message, "see the replica's log"]
        body = struct.pack("<B", INTERNAL)
        for text in parts:
            raw = " ".join(text.split()).encode("utf-8", "replace")[:1024]
            body += struct.pack("<H", len(raw)) + raw
        self.send(ERROR, ident, body)


class Printed(io.TextIOWrapper):
    """What the model prints. Before a line goes the id of the request that it is for, if it is another."""

    request = said = b""

    def write(self, text):
        self.mark()
        return super().write(text)

    def mark(self):
        if self.said != self.request:
            self.said = self.request
            self.buffer.write(b"\0" + self.request + b"\n")

    def about(self, request):
        """What is printed from now on is for a request; none if it is empty."""
        self.request = request
        if not request:
            self.mark()


def printed(fd):
    raw = os.fdopen(fd, "wb", buffering=0, closefd=False)
    return Printed(raw, "utf-8", "backslashreplace", write_through=True)


def decode(np, body):
    """Reads the batch of a predict as a list of (name, array). Before it are a time limit and an id."""
    at = 5 + body[4]

    def take(form):
        nonlocal at
        values = struct.unpack_from(form, body, at)
        at += struct.calcsize(form)
        return values

    (count,) = take("<I")
    out = []
    for _ in range(count):
        (length,) = take("<H")
        name = body[at : at + length].decode("utf-8")
        at += length
        kind, dims = take("<BB")
        shape = take("<%dI" % dims)
        size = 1
        for n in shape:
            size *= n
        if kind == BYTES:
            array = np.empty(size, dtype=object)
            for i in range(size):
                (length,) = take("<I")
                array[i] = body[at : at + length].decode("utf-8")
                at += length
        elif kind == BF16:  # numpy has none: it is the upper half of a float32
            array = (np.frombuffer(body, dtype="<u2", count=size, offset=at).astype("<u4") << 16).view("<f4")
            at += 2 * size
        else:
            array = np.frombuffer(body, dtype=NUMPY[kind], count=size, offset=at)
            at += array.nbytes
            if not array.flags.aligned:
                array = array.copy()
        out.append((name, array.reshape(shape)))
    return out


def encode(np, tensors):
    """Writes (name, array) pairs as a batch."""
    parts = [struct.pack("<I", len(tensors))]
    for name, array in tensors:
        array = portable(np, array)
        raw = name.encode("utf-8")
        kind = BYTES if array.dtype == object else NUMPY.index(array.dtype.str.replace("|", ""), 1)
        parts.append(struct.pack("<H", len(raw)) + raw)
        parts.append(struct.pack("<BB%dI" % array.ndim, kind, array.ndim, *array.shape))
        if kind != BYTES:
            parts.append(np.ascontiguousarray(array).tobytes())
            continue
        for value in array.ravel():
            raw = value if isinstance(value, bytes) else text(value).encode("utf-8", "replace")
            parts.append(struct.pack("<I", len(raw)) + raw)
    return b"".join(parts)


def text(value):
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str)
    return str(value)


def portable(np, array):
    """Makes of any array one of a type that a batch has."""
    kind = array.dtype.kind
    if kind == "b":
        return array.astype("?", copy=False)
    if kind in "iu":
        return array.astype("<%s%d" % (kind, array.dtype.itemsize), copy=False)
    if kind == "f":
        width = min(max(array.dtype.itemsize, 2), 8)
        return array.astype("<f%d" % width, copy=False)
    if kind == "O":
        return numbers(np, array)
    if kind == "M":
        return np.datetime_as_string(array).astype(object)
    return array.astype(object)


def numbers(np, array):
    """An array of objects that are all numbers becomes one of numbers."""
    flat = array.ravel()
    types = {type(v) for v in flat[:1024]}
    if types and all(issubclass(t, (int, float, bool, np.number, np.bool_)) for t in types):
        try:
            dense = np.array(flat.tolist()).reshape(array.shape)
        except (ValueError, OverflowError):
            return array
        if dense.dtype.kind in "biuf":
            return portable(np, dense)
    return array


class Adapter:
    """Makes of a batch what the model's predict takes, and of its answer a batch."""

    def __init__(self, np, model):
        self.np = np
        self.inputs = model["inputs"]
        self.outputs = [o["name"] for o in model.get("outputs") or []]
        self.frame = bool(self.inputs) and not self.inputs[0].get("tensor")
        if self.frame:
            import pandas

            self.pd = pandas
            self.types = {c["name"]: c["type"] for c in self.inputs}
            self.plain = len({c["type"] for c in self.inputs}) == 1 and self.inputs[0]["type"] in (
                "double", "float", "long", "integer", "boolean")

    def take(self, tensors):
        if not self.frame:
            if len(tensors) == 1 and not self.inputs[0].get("named"):
                return tensors[0][1]
            return dict(tensors)
        names = [name for name, _ in tensors]
        if self.plain:  # one block, as pandas itself would keep it
            block = self.np.array([array for _, array in tensors])
            return self.pd.DataFrame(block.T, columns=names, copy=False)
        columns = {name: self.column(array, self.types[name]) for name, array in tensors}
        return self.pd.DataFrame(columns, copy=False)

    def column(self, array, kind):
        if kind == "datetime":
            times = self.pd.Series(self.pd.to_datetime(array, format="ISO8601"))
            return times if times.dt.tz is None else times.dt.tz_convert(None)
        if kind == "binary":
            import base64

            return [base64.b64decode(value) for value in array]
        return array

    def give(self, answer, rows):
        """A list of (name, array) of an answer."""
        np = self.np
        if hasattr(answer, "columns") and hasattr(answer, "to_numpy"):
            out = [(str(name), answer[name].to_numpy()) for name in answer.columns]
            if len(out) == 1 and len(self.outputs) == 1:
                out = [(self.outputs[0], out[0][1])]
        elif isinstance(answer, dict):
            out = [(str(name), self.array(value)) for name, value in answer.items()]
        else:
            out = self.named(self.array(answer))
        if not out:
            raise Unfit("the model answered nothing")
        for name, array in out:
            if array.ndim == 0 or array.shape[0] != rows:
                have = array.shape[0] if array.ndim else "a single value"
                raise Unfit("the model answered %s rows for %d" % (have, rows))
            if array.ndim > 8:
                raise Unfit("the model answered %d dimensions" % array.ndim)
        return [(name, array if array.dtype != object else np.asarray(array, dtype=object)) for name, array in out]

    def array(self, value):
        np = self.np
        if hasattr(value, "detach"):
            value = value.detach().cpu()
        if hasattr(value, "toarray"):
            value = value.toarray()
        if hasattr(value, "to_numpy"):
            return value.to_numpy()
        if isinstance(value, list) and value and isinstance(value[0], (dict, list, tuple)):
            try:
                dense = np.array(value)
                if dense.dtype.kind in "biuf":
                    return dense
            except ValueError:
                pass
            array = np.empty(len(value), dtype=object)
            array[:] = [json.dumps(v, default=str) for v in value]
            return array
        return np.asarray(value)

    def named(self, array):
        names = self.outputs
        if len(names) > 1 and array.ndim == 2 and array.shape[1] == len(names):
            return [(name, array[:, i]) for i, name in enumerate(names)]
        return [(names[0] if len(names) == 1 else "predict", array)]


# Classifiers whose predict is, by their own code, the class of the largest probability.
ARGMAX = {
    "DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier",
    "HistGradientBoostingClassifier",
}


class Sklearn:
    """A scikit-learn estimator without MLflow around it."""

    def __init__(self, np, estimator, method, name):
        self.np, self.name = np, name
        self.prepare, self.proba, self.classes = None, None, None
        last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        if method == "predict" and name == "predict" and hasattr(estimator, "predict_proba"):
            classes = getattr(estimator, "classes_", None)
            if isinstance(classes, np.ndarray) and classes.ndim == 1:
                # What comes before the last step is the same for labels and probabilities.
                kind = type(estimator)
                if kind.__module__ == "sklearn.pipeline" and kind.__name__ == "Pipeline" and len(estimator.steps) > 1:
                    self.prepare, estimator = estimator[:-1].transform, last
                self.proba = estimator.predict_proba
                module = type(last).__module__
                if type(last).__name__ in ARGMAX and module.startswith("sklearn.") and classes.dtype.kind in "biufUO":
                    self.classes = classes
        self.predict = getattr(estimator, method)

    def __call__(self, data):
        if self.proba is None:
            return self.predict(data)
        if self.prepare is not None:
            data = self.prepare(data)
        p = self.proba(data)
        labels = self.predict(data) if self.classes is None else self.classes.take(self.np.argmax(p, axis=1), axis=0)
        if p.ndim == 2 and p.shape[1] == 2:
            p = p[:, 1]
        return {self.name: labels, "probability": p}


def load(np, model):
    """Gives the function that answers."""
    directory = model["dir"]
    code = model.get("code")
    if code:
        sys.path.insert(0, os.path.join(directory, code))
    if model.get("estimator"):
        path = os.path.join(directory, model["estimator"])
        if model["format"] == "skops":
            import skops.io

            estimator = skops.io.load(path, trusted=model.get("trusted"))
        else:
            import pickle

            with open(path, "rb") as f:
                estimator = pickle.load(f)
        outputs = model.get("outputs") or []
        name = outputs[0]["name"] if len(outputs) == 1 else "predict"
        return Sklearn(np, estimator, model.get("method") or "predict", name)
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(directory).predict


def fault(error):
    """Where an exception came from, without its text: that may quote the input."""
    places, tb = [], error.__traceback__
    while tb is not None:
        code = tb.tb_frame.f_code
        places.append("%s:%d in %s" % (os.path.basename(code.co_filename), tb.tb_lineno, code.co_name))
        tb = tb.tb_next
    return " < ".join(reversed(places[-12:]))


def loopback():
    """Without a network there is still this machine, for libraries that speak to themselves."""
    import fcntl

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
    except OSError:
        pass


def serve(stream, np, adapter, predict, printers):
    while True:
        kind, ident, body = stream.next()
        if kind == CANCEL:
            continue
        if kind == READY:
            stream.send(RESULT, ident, b"")
            continue
        if kind != PREDICT:
            return
        for printer in printers:
            printer.about(bytes(body[5 : 5 + body[4]]))
        try:
            tensors = decode(np, body)
            rows = tensors[0][1].shape[0]
            out = encode(np, adapter.give(predict(adapter.take(tensors)), rows))
        except Unfit as error:
            stream.fail(ident, str(error))
        except Exception as error:
            stream.fail(ident, "the model raised " + type(error).__name__, fault(error))
        else:
            if len(out) + 9 > MAX_FRAME:
                stream.fail(ident, "the model's answer is larger than a frame")
            else:
                stream.send(RESULT, ident, out)
        for printer in printers:
            printer.about(b"")


def main():
    import faulthandler
    import resource
    import traceback

    faulthandler.enable()
    printers = sys.stdout, sys.stderr = printed(1), printed(2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(5, "rb") as f:
        model = json.load(f)
    if model.get("offline"):
        loopback()
    if model.get("packages"):
        sys.path.insert(0, model["packages"])
    stream = Stream(socket.socket(fileno=3))
    kind, _, body = stream.next()
    if kind != HELLO or body[:4] != b"SLWP":
        return
    try:
        import numpy as np

        adapter = Adapter(np, model)
        predict = load(np, model)
    except BaseException as error:
        traceback.print_exc()
        stream.fail(0, "%s: %s" % (type(error).__name__, error))
        sys.exit(1)
    stream.send(HELLO, 0, b"SLWP" + struct.pack("<H", PROTOCOL))
    try:
        serve(stream, np, adapter, predict, printers)
    except (EOFError, ConnectionError):
        pass


main()
