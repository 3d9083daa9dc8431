"""Slipway from Python: deploy a model, call it, take it back.

    import slipway

    slipway.deploy("platform.yaml")
    slipway.predict("fraud", [{"amount": 12.5, "hour": 3}])
    slipway.rollback("fraud", reason="scores are off")

These functions use the platform that SLIPWAY_SERVER and SLIPWAY_TOKEN name, else the one that runs on
this machine; a Client of one's own is for any other. Every error is a slipway.Error with a code, a
message and the next step.
"""

from __future__ import annotations

import os as _os
from typing import Any as _Any

from ._client import CALL_SECONDS, DEPLOY_SECONDS, Client, Watcher
from ._errors import DeploymentFailed, Error, Problem
from ._inputs import Inputs
from ._models import Counts, Deployment, Endpoint, Explanation, Replica, Result, Revision, RolledBack, Stage
from ._program import find_platform_bin
from ._settings import resolve as _resolve

__all__ = [
    "Client",
    "Counts",
    "Deployment",
    "DeploymentFailed",
    "Endpoint",
    "Error",
    "Explanation",
    "Inputs",
    "Problem",
    "Replica",
    "Result",
    "Revision",
    "RolledBack",
    "Stage",
    "Watcher",
    "deploy",
    "deployments",
    "explain",
    "find_platform_bin",
    "infer",
    "predict",
    "rollback",
    "status",
    "wait",
]

_kept: Client | None = None


def _client() -> Client:
    """The client of the functions below: kept as long as the environment and the files of the home
    name the same platform."""
    global _kept
    settings = _resolve(None, None, None, _os.environ)
    if _kept is None or _kept._settings != settings:
        _kept = Client(settings.url, settings.token)
    return _kept


def deploy(
    path: str | _os.PathLike[str] = "platform.yaml",
    environment: str | None = None,
    force_reason: str | None = None,
    wait: bool = True,
    *,
    timeout: float = DEPLOY_SECONDS,
    idempotency_key: str | None = None,
    on_change: Watcher | None = None,
) -> Deployment:
    """Client.deploy of the platform that the environment names."""
    return _client().deploy(
        path, environment, force_reason, wait, timeout=timeout, idempotency_key=idempotency_key, on_change=on_change
    )


def wait(deployment_id: str, timeout: float = DEPLOY_SECONDS, *, on_change: Watcher | None = None) -> Deployment:
    """Client.wait of the platform that the environment names."""
    return _client().wait(deployment_id, timeout, on_change=on_change)


def predict(endpoint: str, inputs: Inputs, environment: str | None = None, *, timeout: float | None = None) -> list[_Any]:
    """Client.predict of the platform that the environment names."""
    return _client().predict(endpoint, inputs, environment, timeout=timeout)


def infer(endpoint: str, inputs: Inputs, environment: str | None = None, *, timeout: float | None = None) -> dict[str, list[_Any]]:
    """Client.infer of the platform that the environment names."""
    return _client().infer(endpoint, inputs, environment, timeout=timeout)


def status(endpoint: str, environment: str | None = None, *, timeout: float | None = None) -> Endpoint:
    """Client.status of the platform that the environment names."""
    return _client().status(endpoint, environment, timeout=timeout)


def rollback(endpoint: str, reason: str, environment: str | None = None, *, timeout: float | None = None) -> RolledBack:
    """Client.rollback of the platform that the environment names."""
    return _client().rollback(endpoint, reason, environment, timeout=timeout)


def deployments(
    endpoint: str | None = None,
    environment: str | None = None,
    *,
    limit: int = 20,
    before: int = 0,
    timeout: float | None = None,
) -> list[Deployment]:
    """Client.deployments of the platform that the environment names."""
    return _client().deployments(endpoint, environment, limit=limit, before=before, timeout=timeout)


def explain(code: str, *, timeout: float = CALL_SECONDS) -> Explanation:
    """What an error code means and what to do; no server is asked."""
    return Client.explain(code, timeout=timeout)
