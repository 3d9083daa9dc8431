"""Client: the platform as Python calls."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import _errors, _inputs, _program
from ._errors import DeploymentFailed, Error, Problem
from ._http import Transport
from ._inputs import Inputs
from ._models import Deployment, Endpoint, Explanation, RolledBack, decode, decode_list
from ._settings import authority, resolve

DISTRIBUTION = "slipway-platform"
CALL_SECONDS = 30.0
DEPLOY_SECONDS = 3600.0
PATIENCE = 120.0  # seconds that a server may be away while a deployment is awaited
POLL_FIRST, POLL_LAST = 0.1, 1.0  # seconds

Watcher = Callable[[Deployment], object]


class Client:
    """Calls one platform. It may be used by many threads, and after a fork.

    `url` and `token` default to SLIPWAY_SERVER and SLIPWAY_TOKEN, then to the files of `home`, which
    defaults to SLIPWAY_HOME: the platform that `platform up` started here is found by itself.
    `timeout` is in seconds, for a call that is given no other. `ca_file` is a PEM file of the
    authority that signed the server's certificate, and defaults to SLIPWAY_CA, then to those that the
    system trusts; `ssl_context` is for anything else about TLS. Proxies of the environment are not used. Every method raises Error.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        home: str | os.PathLike[str] | None = None,
        *,
        timeout: float = CALL_SECONDS,
        ca_file: str | os.PathLike[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = resolve(url, token, home, os.environ)
        self._timeout = timeout
        self._http = Transport(self._settings, ssl_context or authority(ca_file, os.environ), "slipway-python/" + _version())

    @property
    def url(self) -> str:
        """The server's address."""
        return self._settings.url

    def __repr__(self) -> str:
        return f"slipway.Client({self.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the kept connections."""
        self._http.close()

    def predict(self, endpoint: str, inputs: Inputs, environment: str | None = None, *, timeout: float | None = None) -> list[Any]:
        """One prediction for each row: what the model's own predict gives.

        The timeout also tells the platform when an answer is of no use any more. A prediction is
        not repeated once it was sent.
        """
        body = _inputs.invocation(inputs)
        limit = self._limit(timeout)
        answer = self._http.call(
            "POST", "endpoints", _key(endpoint, environment), "invocations", body=body, timeout=limit, headers=_deadline(limit)
        )
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list):
            raise _errors.unknown_answer()
        return predictions

    def infer(
        self, endpoint: str, inputs: Inputs, environment: str | None = None, *, timeout: float | None = None
    ) -> dict[str, list[Any]]:
        """Every output of the model by its name, such as predict and probability, a value for each row.

        The model is asked for its inputs first, so this takes two calls.
        """
        until = time.monotonic() + self._limit(timeout)
        key = _key(endpoint, environment)
        metadata = self._http.call("GET", "v2", "models", key, timeout=self._limit(timeout))
        body = _inputs.inference(inputs, metadata)
        left = max(until - time.monotonic(), 0.001)
        return _inputs.outputs(
            self._http.call("POST", "v2", "models", key, "infer", body=body, timeout=left, headers=_deadline(left))
        )

    def deploy(
        self,
        path: str | os.PathLike[str] = "platform.yaml",
        environment: str | None = None,
        force_reason: str | None = None,
        wait: bool = True,
        *,
        timeout: float = DEPLOY_SECONDS,
        idempotency_key: str | None = None,
        on_change: Watcher | None = None,
    ) -> Deployment:
        """Checks a model and rolls it out; `path` is its platform.yaml or the directory of it.

        A platform.yaml with mistakes raises an Error with all of them in `problems`. With `wait` the
        call ends when the deployment has ended, and raises DeploymentFailed unless it succeeded;
        `on_change` is told of each state. `force_reason` deploys files that were rolled
        back here before, and says why. The same `idempotency_key` gives the same deployment. When the
        time is over the call ends, but the deployment goes on.
        """
        until = time.monotonic() + timeout
        file = os.fspath(path)
        if os.path.isdir(file):
            file = os.path.join(file, "platform.yaml")
        args = ["deploy", f"--file={file}"]
        if environment is not None:
            args.append(f"--env={environment}")
        if force_reason is not None:
            args += ["--force", f"--reason={force_reason}"]
        if idempotency_key is not None:
            args.append(f"--idempotency-key={idempotency_key}")
        env = {"SLIPWAY_SERVER": self._settings.url, "SLIPWAY_TOKEN": self._settings.token}
        try:
            deployment = decode(Deployment, _program.run(args, timeout, env))
        except Error as e:
            if e.code not in (_errors.SPEC, _errors.SPEC_POLICY):
                raise
            problems = tuple(decode_list(Problem, _program.mistakes(file, CALL_SECONDS)))
            raise Error(e.code, e.message, e.next_step, e.field, e.status, problems) from None
        return self._follow(deployment, until, on_change) if wait else deployment

    def wait(self, deployment_id: str, timeout: float = DEPLOY_SECONDS, *, on_change: Watcher | None = None) -> Deployment:
        """Waits until a deployment has succeeded, across restarts of the server. One that ends
        otherwise raises DeploymentFailed; `on_change` is told of each state."""
        until = time.monotonic() + timeout
        return self._follow(self.deployment(deployment_id, timeout=min(timeout, self._timeout)), until, on_change)

    def _follow(self, d: Deployment, until: float, on_change: Watcher | None) -> Deployment:
        seen, pause, contact = None, POLL_FIRST, time.monotonic()
        while True:
            if d != seen:
                seen, pause = d, POLL_FIRST
                if on_change:
                    on_change(d)
            if d.status == "succeeded":
                return d
            if not d.running:
                raise DeploymentFailed(d)
            left = until - time.monotonic() - pause
            if left <= 0:
                raise Error(_errors.DEADLINE, f"{d.id} has not ended in time; it goes on", f"platform deployments {d.id}")
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_LAST)
            try:
                d = self.deployment(d.id, timeout=min(left, self._timeout))
                contact = time.monotonic()
            except Error as e:
                away = e.code in (_errors.NO_SERVER, _errors.UNAVAILABLE, _errors.DEADLINE)
                if not away or time.monotonic() - contact > PATIENCE:
                    raise

    def status(self, endpoint: str, environment: str | None = None, *, timeout: float | None = None) -> Endpoint:
        """How an endpoint does: its revisions, their replicas and what they answered."""
        raw = self._http.call("GET", "v1", "endpoints", _key(endpoint, environment), timeout=self._limit(timeout))
        return decode(Endpoint, raw)

    def endpoints(self, *, timeout: float | None = None) -> list[Endpoint]:
        """All endpoints; those outside production are called name.environment."""
        return decode_list(Endpoint, self._http.call("GET", "v1", "endpoints", timeout=self._limit(timeout)))

    def rollback(self, endpoint: str, reason: str, environment: str | None = None, *, timeout: float | None = None) -> RolledBack:
        """Takes an endpoint back to the revision before, at once; the reason is recorded. It is not
        repeated once it was sent: a second one could go back further."""
        if not reason:
            raise Error(_errors.INVALID, "a rollback needs a reason; it is recorded", "give reason='why'")
        raw = self._http.call(
            "POST", "v1", "endpoints", _key(endpoint, environment), "rollback",
            body=_inputs.dumps({"reason": reason}), timeout=self._limit(timeout),
        )  # fmt: skip
        return decode(RolledBack, raw)

    def deployment(self, deployment_id: str, *, timeout: float | None = None) -> Deployment:
        """One deployment, with its stages."""
        if not deployment_id:
            raise Error(_errors.INVALID_NAME, "the id of the deployment is empty", "give the id of a deployment, dep_…")
        return decode(Deployment, self._http.call("GET", "v1", "deployments", deployment_id, timeout=self._limit(timeout)))

    def deployments(
        self,
        endpoint: str | None = None,
        environment: str | None = None,
        *,
        limit: int = 20,
        before: int = 0,
        timeout: float | None = None,
    ) -> list[Deployment]:
        """Deployments of one endpoint or of all, newest first: at most `limit`, which is up to 200, with
        numbers below `before` unless that is 0."""
        query: dict[str, object] = {"limit": limit}
        if endpoint is not None:
            query["endpoint"] = _key(endpoint, environment)
        if before:
            query["before"] = before
        return decode_list(Deployment, self._http.call("GET", "v1", "deployments", query=query, timeout=self._limit(timeout)))

    @staticmethod
    def explain(code: str, *, timeout: float = CALL_SECONDS) -> Explanation:
        """What an error code means and what to do; no server is asked."""
        return decode(Explanation, _program.run(["explain", "--", code], timeout))

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout


def _key(endpoint: str, environment: str | None) -> str:
    """An endpoint's name in addresses: that of production is bare."""
    if not endpoint:
        raise Error(_errors.INVALID_NAME, "the endpoint's name is empty", "platform status lists the endpoints")
    return endpoint if environment in (None, "production") else f"{endpoint}.{environment}"


def _deadline(seconds: float) -> dict[str, str]:
    return {"Slipway-Deadline-Ms": str(max(int(seconds * 1000), 1))}


@functools.lru_cache(maxsize=1)
def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "dev"
