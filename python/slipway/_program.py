"""The platform's own program, which came with this package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from typing import Any

from . import _errors
from ._errors import Error

NAME = "platform"


def find_platform_bin() -> str:
    """The path of the program `platform`: where pip put it with this package, else on the PATH."""
    package = os.path.dirname(os.path.abspath(__file__))
    places = [
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", scheme="osx_framework_user" if sys.platform == "darwin" and sys._framework else "posix_user"),
        os.path.join(package, "..", "bin"),  # pip install --target
        os.path.join(package, "..", "..", "..", "..", "bin"),  # pip install --prefix
    ]
    for place in places:
        file = os.path.normpath(os.path.join(place, NAME))
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    found = shutil.which(NAME)
    if not found:
        raise Error(_errors.IO, "the program platform is not there", "pip install --force-reinstall slipway-platform")
    return found


def run(args: Sequence[str], timeout: float, env: Mapping[str, str] | None = None) -> Any:
    """What a command of the program prints as JSON. It is killed when the time is over."""
    done = _run(args, timeout, env)
    if done.returncode:
        raise _failure(args[0], done.returncode, done.stderr)
    return _json(done.stdout)


def mistakes(file: str, timeout: float) -> Any:
    """Every mistake of a platform.yaml that can be found here, as JSON."""
    document = _json(_run(["validate", f"--file={file}"], timeout).stdout or b"{}")
    return document.get("problems", []) if isinstance(document, dict) else []


def _run(args: Sequence[str], timeout: float, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [find_platform_bin(), "--json", *args]
    try:
        return subprocess.run(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"platform {args[0]} took longer than {timeout:g} s"
        raise Error(_errors.DEADLINE, message, "try again, or allow more time") from None
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "an argument has a character that none can have"
        raise Error(_errors.IO, f"platform {args[0]} cannot be run: {reason}", "check what was given") from None


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise _errors.unknown_answer() from None


def _failure(command: str, exit_code: int, stderr: bytes) -> Error:
    """The error that the program printed on its last line."""
    lines = stderr.strip().splitlines()
    try:
        problem = json.loads(lines[-1])
        if "code" in problem:
            return _errors.refusal(int(problem["status"]), lines[-1])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        pass
    return Error(_errors.INTERNAL, f"platform {command} ended with exit code {exit_code}", f"run it in a shell: platform {command}")
