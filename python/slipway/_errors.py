"""The errors of the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from slipway._client import Deployment


class Error(Exception):
    """What the platform answered, or why it could not be asked.

    code is stable, "SLIP-E0503"; `platform explain CODE` says more. next is one exact step.
    """

    def __init__(self, message: str, code: str = "", next: str = "", field: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.message, self.code, self.next, self.field, self.status = message, code, next, field, status

    def __str__(self) -> str:
        place = self.field + ": " if self.field else ""
        step = "; " + self.next if self.next else ""
        code = " [" + self.code + "]" if self.code else ""
        return place + self.message + step + code

    @classmethod
    def of(cls, problem: Mapping[str, Any], status: int = 0) -> Error:
        """Reads a problem as the API and `platform --json` write it."""

        def text(key: str) -> str:
            value = problem.get(key)
            return value if isinstance(value, str) else ""

        message = text("detail") or text("error") or text("title") or "the platform refused"
        return cls(message, text("code"), text("next"), text("field"), int(problem.get("status") or status))


class DeploymentFailed(Error):
    """A deployment that ended otherwise than succeeded; deployment is its record."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(
            "deployment %s of %s %s: %s" % (deployment.id, deployment.endpoint, deployment.status, deployment.message),
            deployment.code,
            deployment.next,
        )
        self.deployment = deployment
