"""The SDK as the tests use it: from the sources, with the program that was built."""

import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def build(out):
    """Builds the wheel for this machine."""
    args = [sys.executable, ROOT / "python" / "wheel" / "build.py", "--version", "v9.8.7", "--arch", ARCH, "--out", out]
    done = subprocess.run(args, check=True, capture_output=True, text=True)
    return pathlib.Path(done.stdout.strip())
