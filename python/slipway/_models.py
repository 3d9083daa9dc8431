"""What the platform answers, as values. Fields that this version does not know are in `record`."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

from ._errors import unknown_answer

# Optional[X] and not X | None: the hints are evaluated, and Python 3.9 cannot evaluate that.

Model = TypeVar("Model")


def _named(name: str) -> Any:
    """A text that the API calls otherwise."""
    return dataclasses.field(default="", metadata={"json": name})


def _record() -> Any:
    return dataclasses.field(default_factory=dict, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Result:
    """One check's answer; the verdict is unknown, pass, warn or fail."""

    check: str
    verdict: str
    message: str = ""
    next_step: str = _named("next")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a deployment: what it checked and what it logged."""

    stage: str
    verdict: str
    results: tuple[Result, ...] = ()
    log: tuple[str, ...] = ()
    started: Optional[datetime] = None
    finished: Optional[datetime] = None


@dataclasses.dataclass(frozen=True)
class Deployment:
    """One attempt to bring a version to an endpoint."""

    id: str
    endpoint: str
    status: str
    """running, succeeded, rolled back, failed or aborted."""
    number: int = 0
    kind: str = ""
    """deploy, rollback or withdrawal."""
    phase: str = ""
    """Of the rollout; empty while the checks run."""
    model: str = ""
    version: int = 0
    digest: str = ""
    revision: str = ""
    previous: str = ""
    by: str = ""
    reason: str = ""
    created: Optional[datetime] = None
    finished: Optional[datetime] = None
    stages: tuple[Stage, ...] = ()
    step: int = 0
    weight: float = 0.0
    """Percent of the requests that the candidate has now."""
    missing: int = 0
    """Requests that the step still needs."""
    waiting: str = ""
    """Why it waits."""
    code: str = ""
    message: str = ""
    next_step: str = _named("next")
    unchanged: bool = False
    """The endpoint serves exactly this already, so nothing was started."""
    record: Mapping[str, Any] = _record()

    @property
    def running(self) -> bool:
        """It has not ended yet."""
        return self.status == "running"


@dataclasses.dataclass(frozen=True)
class Counts:
    """Outcomes of a revision's first attempts, and what users got."""

    requests: int = 0
    failed: int = 0
    slow: int = 0
    rejected: int = 0
    rescued: int = 0
    answered: int = 0
    errors: int = 0


@dataclasses.dataclass(frozen=True)
class Replica:
    """One process of a revision."""

    id: str
    state: str
    restarts: int = 0
    reason: str = ""
    log_tail: tuple[str, ...] = ()
    rss_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Revision:
    """One version and one configuration on an endpoint."""

    id: str
    model: str = ""
    version: int = 0
    digest: str = ""
    runtime: str = ""
    weight: float = 0.0
    """Percent of the requests."""
    ready: int = 0
    want: int = 0
    counts: Counts = Counts()
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    replicas: tuple[Replica, ...] = ()


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where a model answers."""

    name: str
    state: str
    """serving, provisional, withdrawn or pending."""
    reason: str = ""
    owner: str = ""
    tier: int = 0
    stable: Optional[Revision] = None
    candidate: Optional[Revision] = None
    deployment: str = ""
    """The deployment that drives it, or the one that put its revision there."""
    active: bool = False
    """A deployment is under way."""
    warm_left_seconds: float = 0.0
    """How long the previous revision stays warm."""
    record: Mapping[str, Any] = _record()


@dataclasses.dataclass(frozen=True)
class RolledBack:
    """What a rollback did."""

    endpoint: str
    from_revision: str = ""
    to_revision: str = ""
    deployment: str = ""
    """The deployment that carries it out, when the gateway could not do it alone."""
    took_ms: float = 0.0


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What an error code means."""

    code: str
    title: str = ""
    meaning: str = ""
    do: str = ""
    next_step: str = _named("next")


def decode(kind: type[Model], raw: object) -> Model:
    """A value of a dataclass from JSON. A field that is missing has its default; what has none, or has
    another type than it says, makes an Error."""
    try:
        value: Model = _decode(kind, raw)
        return value
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise unknown_answer() from None


def decode_list(kind: type[Model], raw: object) -> list[Model]:
    """A list of such values."""
    if not isinstance(raw, list):
        raise unknown_answer()
    return [decode(kind, item) for item in raw]


def _decode(kind: Any, raw: object) -> Any:
    if not isinstance(raw, dict):
        raise TypeError
    values: dict[str, Any] = {}
    for field, hint in _fields(kind):
        if field.name == "record":
            values["record"] = raw
            continue
        name = field.metadata.get("json", field.name)
        if raw.get(name) is not None:
            values[field.name] = _value(hint, raw[name])
    return kind(**values)


@functools.lru_cache(maxsize=None)
def _fields(kind: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(f, hints[f.name]) for f in dataclasses.fields(kind)]


def _value(hint: Any, raw: object) -> Any:
    if get_origin(hint) is Union:
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        if not isinstance(raw, list):
            raise TypeError
        return tuple(_value(get_args(hint)[0], item) for item in raw)
    if dataclasses.is_dataclass(hint):
        return _decode(hint, raw)
    if hint is datetime:
        return _time(raw)
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if isinstance(raw, bool) != (hint is bool) or hint is not Any and not isinstance(raw, hint):
        raise TypeError
    return raw


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def _time(raw: object) -> datetime:
    """A time as RFC 3339 writes it, to the microsecond, in UTC. Python 3.9 itself reads neither Z nor
    nanoseconds."""
    found = _TIME.fullmatch(raw) if isinstance(raw, str) else None
    if not found:
        raise ValueError
    seconds, fraction, zone = found.groups()
    zone = "+00:00" if zone == "Z" else zone
    return datetime.fromisoformat(f"{seconds}.{(fraction or '')[:6]:0<6}{zone}").astimezone(timezone.utc)
