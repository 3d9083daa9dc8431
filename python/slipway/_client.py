"""The client: predictions and records over HTTP, deployments by the program `platform`."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import random
import threading
import time
import urllib.parse
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from slipway._errors import DeploymentFailed, Error
from slipway._program import run

Rows = Sequence[Mapping[str, Any]]
Columns = Mapping[str, Sequence[Any]]

_MAX_ANSWER = 64 << 20
_TRIES = 4


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of a deployment's pipeline."""

    name: str
    verdict: str
    messages: Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Deployment:
    """One attempt to bring a version to an endpoint. status is running, succeeded, rolled back, failed or aborted."""

    id: str
    endpoint: str
    model: str
    version: int
    status: str
    phase: str
    weight: float
    revision: str
    unchanged: bool
    message: str
    code: str
    next: str
    stages: Tuple[Stage, ...]
    record: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.status != "running"


@dataclasses.dataclass(frozen=True)
class Revision:
    """One version on an endpoint. weight is in percent."""

    id: str
    version: int
    weight: float
    ready: int
    want: int


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where a model answers."""

    name: str
    state: str
    stable: Optional[Revision]
    candidate: Optional[Revision]
    record: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)


def _deployment(d: Mapping[str, Any]) -> Deployment:
    stages = tuple(
        Stage(s.get("stage", ""), s.get("verdict", ""), tuple(r.get("message", "") for r in s.get("results") or ()))
        for s in d.get("stages") or ()
    )
    return Deployment(
        id=d.get("id", ""),
        endpoint=d.get("endpoint", ""),
        model=d.get("model", ""),
        version=int(d.get("version", 0)),
        status=d.get("status", ""),
        phase=d.get("phase", ""),
        weight=float(d.get("weight", 0)),
        revision=d.get("revision", ""),
        unchanged=bool(d.get("unchanged", False)),
        message=d.get("message", ""),
        code=d.get("code", ""),
        next=d.get("next", ""),
        stages=stages,
        record=d,
    )


def _revision(r: Optional[Mapping[str, Any]]) -> Optional[Revision]:
    if not r:
        return None
    return Revision(r.get("id", ""), int(r.get("version", 0)), float(r.get("weight", 0)), int(r.get("ready", 0)), int(r.get("want", 0)))


class Client:
    """A platform. It is safe for use by several threads; each has a connection of its own."""

    def __init__(
        self, server: Optional[str] = None, token: Optional[str] = None, home: Optional[str] = None, timeout: float = 30.0
    ) -> None:
        """server and token default to SLIPWAY_SERVER and SLIPWAY_TOKEN, else to those of the platform in home.

        timeout is of one request, in seconds.
        """
        self.home = pathlib.Path(home or os.environ.get("SLIPWAY_HOME") or _data_home())
        given = server or os.environ.get("SLIPWAY_SERVER")
        address = _line(self.home / "address")
        self.server = (given or address).rstrip("/")
        if not self.server:
            raise Error("no platform runs in %s" % self.home, "SLIP-E0604", "platform up")
        self._token = token or os.environ.get("SLIPWAY_TOKEN") or ""
        if not self._token:
            if self.server != address.rstrip("/"):
                raise Error("there is no token for " + self.server, "SLIP-E0606", "set SLIPWAY_TOKEN to a token of that server")
            self._token = _line(self.home / "owner.token")
        self.timeout = timeout
        self._local = threading.local()
        parts = urllib.parse.urlsplit(self.server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Error("%s is no address of a server" % self.server, next="give http://HOST:PORT")
        self._tls, self._host, self._base = parts.scheme == "https", parts.netloc, parts.path

    def __repr__(self) -> str:
        return "slipway.Client(%r)" % self.server

    def predict(
        self, endpoint: str, inputs: Union[Rows, Columns, Any], environment: str = "production", timeout: Optional[float] = None
    ) -> List[Any]:
        """Asks a model: one prediction for each row.

        inputs are rows (a list of dicts), columns (a dict of lists), a pandas data frame or a numpy array.
        """
        key = endpoint if environment == "production" else endpoint + "." + environment
        answer = self._call("POST", "/endpoints/%s/invocations" % _quote(key), _request(inputs), timeout, again=True)
        if not isinstance(answer, dict) or not isinstance(answer.get("predictions"), list):
            raise Error("the answer of %s is no list of predictions" % key, next="platform status " + key)
        predictions: List[Any] = answer["predictions"]
        return predictions

    def status(self, endpoint: str) -> Endpoint:
        """What runs on an endpoint."""
        e = self._call("GET", "/v1/endpoints/" + _quote(endpoint), again=True)
        return Endpoint(e.get("name", ""), e.get("state", ""), _revision(e.get("stable")), _revision(e.get("candidate")), e)

    def endpoints(self) -> List[str]:
        """The names of all endpoints."""
        return [e.get("name", "") for e in self._call("GET", "/v1/endpoints", again=True)]

    def deployment(self, id: str) -> Deployment:
        """One deployment, with its stages."""
        return _deployment(self._call("GET", "/v1/deployments/" + _quote(id), again=True))

    def deployments(self, endpoint: str = "", limit: int = 50) -> List[Deployment]:
        """The newest deployments, of one endpoint or of all."""
        query = {"limit": str(limit)}
        if endpoint:
            query["endpoint"] = endpoint
        return [_deployment(d) for d in self._call("GET", "/v1/deployments?" + urllib.parse.urlencode(query), again=True)]

    def wait(self, deployment: Union[str, Deployment], timeout: Optional[float] = None) -> Deployment:
        """Waits until a deployment has ended; DeploymentFailed if it did not succeed. timeout is in seconds."""
        id = deployment if isinstance(deployment, str) else deployment.id
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.05
        while True:
            d = self.deployment(id)
            if d.status == "succeeded":
                return d
            if d.ended:
                raise DeploymentFailed(d)
            if end is not None and time.monotonic() >= end:
                raise Error("deployment %s has not ended after %g s: %s" % (id, timeout or 0, d.phase or "the pipeline runs"), next="platform status " + d.endpoint)
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def rollback(self, endpoint: str, reason: str) -> Mapping[str, Any]:
        """Takes an endpoint back to the revision before."""
        answer: Mapping[str, Any] = self._call("POST", "/v1/endpoints/%s/rollback" % _quote(endpoint), {"reason": reason})
        return answer

    def deploy(
        self,
        path: Union[str, "os.PathLike[str]"] = "platform.yaml",
        environment: str = "production",
        wait: bool = True,
        force: bool = False,
        reason: str = "",
        key: str = "",
        timeout: Optional[float] = None,
    ) -> Deployment:
        """Checks a model and rolls it out.

        path is a platform.yaml, or its directory. With wait it answers when the deployment has succeeded, and raises
        DeploymentFailed otherwise. The same key gives the same deployment. timeout is in seconds.
        """
        file = pathlib.Path(path)
        if file.is_dir():
            file = file / "platform.yaml"
        args = ["deploy", "-f", file.name, "--env", environment]
        if force:
            args += ["--force"]
        if reason:
            args += ["--reason", reason]
        if key:
            args += ["--idempotency-key", key]
        started = time.monotonic()
        env = {"SLIPWAY_SERVER": self.server, "SLIPWAY_TOKEN": self._token, "SLIPWAY_HOME": str(self.home)}
        d = _deployment(run(args, env, str(file.parent), timeout))
        if not wait or d.unchanged:
            return d
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - started))
        return self.wait(d, left)

    def close(self) -> None:
        """Drops the connection of this thread."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _call(self, method: str, path: str, body: Any = None, timeout: Optional[float] = None, again: bool = False) -> Any:
        """One request; again says that it may be repeated when the connection is lost."""
        payload = None if body is None else json.dumps(body, default=_plain, allow_nan=False).encode()
        headers = {"Authorization": "Bearer " + self._token, "Accept": "application/json", "User-Agent": "slipway-python"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        for attempt in range(1, _TRIES + 1):
            fresh = getattr(self._local, "connection", None) is None
            try:
                status, text = self._exchange(method, self._base + path, payload, headers, timeout or self.timeout)
            except TimeoutError:
                self.close()
                raise Error("no answer in time from " + self.server, "SLIP-E0604", "try again, or allow more time") from None
            except (OSError, http.client.HTTPException):
                self.close()
                # A kept connection may have been closed by the server just now: nothing was done then.
                if attempt < _TRIES and (again or not fresh):
                    time.sleep(random.uniform(0, 0.05 * 2**attempt))
                    continue
                raise Error("no answer from " + self.server, "SLIP-E0604", "platform up") from None
            if status == 503 and again and attempt < _TRIES and not path.startswith("/endpoints/"):
                time.sleep(random.uniform(0.1, 0.2 * 2**attempt))
                continue
            return _read(status, text)

    def _exchange(self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str], timeout: float) -> Tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
            connection = self._local.connection = kind(self._host, timeout=timeout)
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read(_MAX_ANSWER + 1)
        if len(text) > _MAX_ANSWER:
            self.close()
            raise Error("the answer is larger than %d MiB" % (_MAX_ANSWER >> 20), next="ask for fewer rows at once")
        return response.status, text


def _read(status: int, text: bytes) -> Any:
    try:
        answer = json.loads(text) if text else None
    except ValueError:
        raise Error("the answer is no JSON: is this a platform?", status=status, next="check the server's address") from None
    if 200 <= status < 300:
        return answer
    raise Error.of(answer if isinstance(answer, dict) else {}, status)


def _request(inputs: Any) -> Dict[str, Any]:
    """Makes a request of MLflow's scoring protocol."""
    if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):  # a data frame
        split = inputs.to_dict(orient="split")
        rows = [[None if v != v else v for v in row] for row in split["data"]]
        return {"dataframe_split": {"columns": list(split["columns"]), "data": rows}}
    if hasattr(inputs, "tolist"):  # an array
        return {"inputs": inputs.tolist()}
    if isinstance(inputs, Mapping):
        names = list(inputs)
        columns = [list(inputs[n].tolist() if hasattr(inputs[n], "tolist") else inputs[n]) for n in names]
        if len({len(c) for c in columns}) > 1:
            raise Error("the columns have different lengths", next="give as many values for each column")
        return {"dataframe_split": {"columns": names, "data": [list(row) for row in zip(*columns)]}}
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        if inputs and all(isinstance(row, Mapping) for row in inputs):
            return {"dataframe_records": [dict(row) for row in inputs]}
        return {"inputs": list(inputs)}
    raise Error("inputs are neither rows nor columns", next='give [{"column": value}], a dict of lists, a data frame or an array')


def _plain(value: Any) -> Any:
    """Values of numpy and times, which json does not know."""
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise Error("a value of type %s cannot be sent" % type(value).__name__, next="give numbers, text, booleans or times")


def _quote(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _line(path: pathlib.Path) -> str:
    try:
        with path.open() as f:
            return f.read(4096).strip()
    except OSError:
        return ""


def _data_home() -> str:
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "slipway")


def deploy(path: Union[str, "os.PathLike[str]"] = "platform.yaml", **options: Any) -> Deployment:
    """Client().deploy."""
    return Client().deploy(path, **options)


def predict(endpoint: str, inputs: Any, **options: Any) -> List[Any]:
    """Client().predict; a loop keeps a Client, and with it the connection."""
    return Client().predict(endpoint, inputs, **options)


def status(endpoint: str) -> Endpoint:
    """Client().status."""
    return Client().status(endpoint)


def rollback(endpoint: str, reason: str) -> Mapping[str, Any]:
    """Client().rollback."""
    return Client().rollback(endpoint, reason)


def wait(deployment: Union[str, Deployment], timeout: Optional[float] = None) -> Deployment:
    """Client().wait."""
    return Client().wait(deployment, timeout)
