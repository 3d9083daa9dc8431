"""Finds and runs the program `platform` that comes with this package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any, Mapping, Optional, Sequence

from slipway._errors import Error


def find_platform() -> str:
    """The path of the program: of this installation, else on the PATH."""
    for scripts in (sysconfig.get_path("scripts"), os.path.dirname(sys.executable)):
        path = os.path.join(scripts, "platform")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    path = shutil.which("platform") or ""
    if not path:
        raise Error("the program platform is not installed beside this package", next="pip install --force-reinstall slipway")
    return path


def run(args: Sequence[str], env: Mapping[str, str], cwd: str, timeout: Optional[float]) -> Any:
    """Runs `platform ARGS --json` and gives its document."""
    try:
        done = subprocess.run(
            [find_platform(), *args, "--json"],
            env={**os.environ, **env},
            cwd=cwd,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Error("platform %s took longer than %g s" % (args[0], timeout or 0), next="platform status") from None
    if done.returncode == 0:
        return document(done.stdout)
    problem = document(done.stderr) or document(done.stdout)
    if isinstance(problem, dict):
        raise Error.of(problem)
    raise Error("platform %s ended with code %d" % (args[0], done.returncode), next="platform " + args[0])


def document(out: bytes) -> Any:
    """The last JSON document of an output, None without one."""
    text = out.decode("utf-8", "replace").strip()
    for part in (text, text[text.rfind("\n") + 1 :]):
        try:
            return json.loads(part)
        except ValueError:
            continue
    return None
