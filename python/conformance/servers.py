"""Servers to be held against the protocol, each with the model of identity.py."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import identity

HERE = pathlib.Path(__file__).resolve().parent
START_SECONDS = 60
DEPLOY_SECONDS = 300


@contextlib.contextmanager
def slipway(exe, models=None):
    """A platform with models, by name and datatypes: its URL, and the file with its token."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as tmp:
        elsewhere = ("SLIPWAY_SERVER", "SLIPWAY_TOKEN")
        env = {k: v for k, v in os.environ.items() if k not in elsewhere} | {"SLIPWAY_HOME": tmp + "/home"}
        up = subprocess.Popen([exe, "up", "--json", "--listen", "127.0.0.1:0"], env=env, stdout=subprocess.PIPE, text=True)
        try:
            ready = json.loads(up.stdout.readline())
            for name, datatypes in (models or {"identity": identity.TYPED}).items():
                project = pathlib.Path(tmp, name)
                identity.for_slipway(project, name, datatypes)
                done = subprocess.run(
                    [exe, "deploy", "--watch"], env=env, cwd=project, capture_output=True, text=True, timeout=DEPLOY_SECONDS, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr
            yield ready["url"], ready["token_file"]
        finally:
            up.send_signal(signal.SIGINT)
            try:
                up.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                up.kill()


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


@contextlib.contextmanager
def mlserver(exe):
    """MLServer: its URL, and its address of gRPC."""
    with tempfile.TemporaryDirectory(prefix="mlserver-") as tmp:
        http, grpc, metrics = free_ports(3)
        site = pathlib.Path(tmp, "site")
        identity.for_mlserver(site, http, grpc, metrics)
        server = subprocess.Popen([exe, "start", "."], cwd=site, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{http}"
            end = time.monotonic() + START_SECONDS
            while True:
                try:
                    with urllib.request.urlopen(url + "/v2/models/identity/ready", timeout=5):
                        break
                except OSError:
                    assert server.poll() is None and time.monotonic() < end, "MLServer does not start"
                    time.sleep(0.2)
            yield url, f"127.0.0.1:{grpc}"
        finally:
            server.terminate()
            try:
                server.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


def held(url, address, token_file=None):
    """The results of the conformance test, which runs as anybody would run it."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, str(HERE), "--url", url, "--grpc", address, "--model", "identity", "--json", out.name]
        command += ["--token-file", token_file] if token_file else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEPLOY_SECONDS, check=False)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(pathlib.Path(out.name).read_text())
