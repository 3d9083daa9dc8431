"""What can go wrong, in one hierarchy: Error, and DeploymentFailed below it."""

from __future__ import annotations

import dataclasses
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._models import Deployment

# The codes that are raised here; `slipway.explain(code)` resolves these and all others.
INTERNAL = "SLIP-E0000"
INVALID_NAME = "SLIP-E0001"
NOT_FOUND = "SLIP-E0003"
CONFLICT = "SLIP-E0004"
UNAUTHORIZED = "SLIP-E0005"
DENIED = "SLIP-E0006"
INVALID = "SLIP-E0007"
UNAVAILABLE = "SLIP-E0008"
TOO_LARGE = "SLIP-E0009"
IO = "SLIP-E0010"
SPEC = "SLIP-E0101"
SPEC_POLICY = "SLIP-E0102"
ROLLED_BACK = "SLIP-E0402"
REQUEST = "SLIP-E0502"
DEADLINE = "SLIP-E0504"
NEED_TLS = "SLIP-E0603"
CERTIFICATE = "SLIP-E1106"
NO_SERVER = "SLIP-E0604"
NOT_LOGGED_IN = "SLIP-E0606"

MAX_TEXT = 4000  # characters of a message from outside


@dataclasses.dataclass(frozen=True)
class Problem:
    """One mistake in a platform.yaml, with its place; line and column count from 1."""

    code: str
    line: int
    column: int
    message: str
    path: str = ""
    """The key that is wrong, such as rollout.steps[0].weight; empty for the file."""
    excerpt: str = ""
    next_step: str = dataclasses.field(default="", metadata={"json": "next"})


class Error(Exception):
    """What happened, and what to do. Neither holds a token or a value of the inputs."""

    def __init__(
        self,
        code: str,
        message: str,
        next_step: str = "",
        field: str = "",
        status: int = 0,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(code, message, next_step, field, status, problems)
        self.code = code
        """Stable, such as SLIP-E0501; slipway.explain(code) says what it means."""
        self.message = message
        self.next_step = next_step
        self.field = field
        """The path of the offending field, when there is one."""
        self.status = status
        """The HTTP status of the answer; 0 if nothing was answered."""
        self.problems = problems
        """Every mistake in platform.yaml, when that is what is wrong."""

    def __str__(self) -> str:
        text = f"[{self.code}] " + (f"{self.field}: " if self.field else "") + self.message
        if not self.problems:
            return text + (f"; next: {self.next_step}" if self.next_step else "")
        for p in self.problems:
            text += f"\n  line {p.line}, column {p.column}: {p.path or 'the file'} {p.message}"
            text += f"; next: {p.next_step}" if p.next_step else ""
        return text


class DeploymentFailed(Error):
    """A deployment ended otherwise than well; `deployment` is its last state."""

    def __init__(self, deployment: Deployment) -> None:
        d = deployment
        super().__init__(
            d.code or (ROLLED_BACK if d.status == "rolled back" else CONFLICT),
            f"{d.id}: {d.status}" + (f": {d.message}" if d.message else ""),
            d.next_step or f"platform deployments {d.id}",
        )
        self.args = (deployment,)
        self.deployment = deployment


def refusal(status: int, raw: bytes) -> Error:
    """The error in an answer: as the control plane (problem+json), Open Inference (error) and MLflow
    (message) write it. A page of a proxy in between has none of these."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and _text(body, "code"):
        field = _text(body, "field")
        message = _text(body, "detail") or _text(body, "message") or _text(body, "error")
        if field and message.startswith(field + ": "):
            message = message[len(field) + 2 :]
        return Error(_text(body, "code"), message, _text(body, "next"), field, status)
    try:
        phrase = " " + HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return Error(
        _code_of(status),
        f"the server answered {status}{phrase}",
        "check the server's address, and what is in front of it",
        status=status,
    )


def unknown_answer() -> Error:
    """An answer that nothing of this version gives."""
    return Error(
        INTERNAL,
        "the answer is none that this version of slipway knows",
        "check the server's address, and that both have the same version",
    )


def _text(body: dict[str, Any], key: str) -> str:
    """A text from outside, as a terminal may show it."""
    value = body.get(key)
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in value[:MAX_TEXT])


def _code_of(status: int) -> str:
    known = {401: UNAUTHORIZED, 403: DENIED, 404: NOT_FOUND, 409: CONFLICT, 413: TOO_LARGE}
    known.update(dict.fromkeys((429, 502, 503, 504, 507), UNAVAILABLE))
    return known.get(status, INVALID if 400 <= status < 500 else INTERNAL)
