"""A platform of its own for the tests: started, with the fraud template deployed."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

START_SECONDS = 60
DEPLOY_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Platform:
    url: str
    token: str
    project: pathlib.Path
    home: pathlib.Path

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": "Bearer " + self.token}


def environment(home: pathlib.Path) -> dict[str, str]:
    elsewhere = ("SLIPWAY_SERVER", "SLIPWAY_TOKEN")
    return {k: v for k, v in os.environ.items() if k not in elsewhere} | {"SLIPWAY_HOME": str(home)}


@contextlib.contextmanager
def running(home: pathlib.Path, *args: str):
    """A platform of this home, and what it said when it was ready; stopped at the end."""
    command = [os.environ["PLATFORM"], "up", "--json", "--listen", "127.0.0.1:0", *args]
    up = subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(first_line(up))
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            up.kill()


@pytest.fixture(scope="session")
def up():
    return running


@pytest.fixture(scope="session")
def platform():
    exe = os.environ["PLATFORM"]
    with tempfile.TemporaryDirectory(prefix="slipway-") as tmp:
        home, project = pathlib.Path(tmp, "home"), pathlib.Path(tmp, "fraud")
        env = environment(home)
        with running(home) as ready:
            subprocess.run([exe, "init", str(project)], env=env, check=True, timeout=START_SECONDS)
            subprocess.run([exe, "deploy", "--watch"], env=env, cwd=project, check=True, timeout=DEPLOY_SECONDS)
            yield Platform(ready["url"], pathlib.Path(ready["token_file"]).read_text().strip(), project, home)


def first_line(process: subprocess.Popen) -> str:
    """The first line of a process's output; a process that prints none in time is killed."""
    watch = subprocess.Popen(["sh", "-c", f"sleep {START_SECONDS}; kill -9 {process.pid}"], start_new_session=True)
    try:
        line = process.stdout.readline()
    finally:
        os.killpg(watch.pid, signal.SIGKILL)
        watch.wait()
    assert line, "the platform ended before it was ready"
    return line


@pytest.fixture(scope="session")
def golden(platform):
    """Rows with what the library itself answered when the template was made."""
    lines = (platform.project / "golden.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
