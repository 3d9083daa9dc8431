"""A platform for each database, as MLflow's own client sees it: nothing but an address and a token.

With MLFLOW_SERVER set to the address of a `mlflow server`, the tests run against that one instead, without
those that are about what it lacks. A test that fails at the newest one is wrong.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

# Before mlflow is imported: no call to anybody else, and an error of the server is seen at once.
os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "agg",
}

import mlflow  # noqa: E402
import pytest  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

PEER = os.environ.get("MLFLOW_SERVER")
MAJOR = int(mlflow.__version__.split(".")[0])
CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_WORKSPACE")


def pytest_configure(config):
    config.addinivalue_line("markers", "ours: is about what MLflow's own server has not")


def pytest_collection_modifyitems(items):
    for item in items:
        if PEER and item.get_closest_marker("ours"):
            item.add_marker(pytest.mark.skip(reason="the server under test is MLflow's own"))


@dataclasses.dataclass(frozen=True)
class Server:
    url: str
    token: str = ""
    home: pathlib.Path | None = None

    def cli(self, *args, cwd=None):
        """Run a command of the platform and give what it prints as JSON."""
        env = {**os.environ, "SLIPWAY_HOME": str(self.home), "NO_COLOR": "1"}
        done = subprocess.run(
            [os.environ["PLATFORM"], *args, "--json"], env=env, cwd=cwd, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()] if args[0] == "deploy" else json.loads(done.stdout)

    def member(self, account, role, team, *token):
        """The token of a new account with a role in a team."""
        self.cli("accounts", "create", account)
        self.cli("accounts", "grant", account, role, "--team", team)
        return self.cli("tokens", "create", account, *token)["text"]


@pytest.fixture(scope="session", params=["mlflow"] if PEER else ["sqlite", "postgres"])
def server(request):
    if PEER:
        yield Server(PEER)
        return
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-", ignore_cleanup_errors=True)))
        database = ["--database", stack.enter_context(postgres())] if request.param == "postgres" else []
        started = request.getfixturevalue("up")(home, *database)
        ready = stack.enter_context(started)
        yield Server(ready["url"], pathlib.Path(ready["token_file"]).read_text().strip(), home)


@contextlib.contextmanager
def postgres():
    """A PostgreSQL server on a Unix socket of its own, not as root: that one it refuses to be."""
    bins = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    path = os.pathsep.join([os.environ["PATH"], *map(str, reversed(bins))])
    initdb, program = (shutil.which(name, path=path) for name in ("initdb", "postgres"))
    if not initdb or not program:
        assert not os.environ.get("CI"), "PostgreSQL is not installed"
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="slippg", ignore_cleanup_errors=True) as tmp:
        who = {}
        if os.geteuid() == 0:
            user = next(u for u in ("postgres", "nobody") if any(u == p.pw_name for p in pwd.getpwall()))
            who = {"user": user, "group": pwd.getpwnam(user).pw_gid}
            shutil.chown(tmp, user)
        data = pathlib.Path(tmp, "data")
        subprocess.run(
            [initdb, "-D", data, "-A", "trust", "-U", "slipway", "-E", "UTF8", "--locale=C", "--no-sync"],
            cwd=tmp, check=True, stdout=subprocess.DEVNULL, **who,
        )  # fmt: skip
        running = subprocess.Popen(
            [program, "-D", data, "-k", tmp, "-c", "listen_addresses=", "-c", "log_min_messages=panic", "-F"],
            cwd=tmp, stderr=subprocess.DEVNULL, **who,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while "ready" not in (data / "postmaster.pid").read_text(errors="replace") if (data / "postmaster.pid").exists() else True:
                assert running.poll() is None and time.monotonic() < deadline, "PostgreSQL did not start"
                time.sleep(0.05)
            yield f"postgres:///postgres?host={tmp}&user=slipway"
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)


@contextlib.contextmanager
def acting(server, url="", **environment):
    """Point MLflow at the server; environment holds what the user would set."""
    before = {k: os.environ.pop(k, None) for k in CREDENTIALS}
    uri = mlflow.get_tracking_uri()
    os.environ |= environment or ({"MLFLOW_TRACKING_TOKEN": server.token} if server.token else {})
    mlflow.set_tracking_uri(url or server.url)
    try:
        yield mlflow.MlflowClient()
    finally:
        while mlflow.active_run():
            mlflow.end_run()
        mlflow.set_tracking_uri(uri)
        for k, v in before.items():
            os.environ.pop(k, None) if v is None else os.environ.update({k: v})


@pytest.fixture
def client(server, request):
    """MLflow's client as the owner, in an experiment of its own."""
    with acting(server) as c:
        mlflow.set_experiment(fresh(request.node.name))
        yield c


@pytest.fixture
def name(request):
    return fresh(request.node.name)


def fresh(base):
    """A name that no other test has."""
    return re.sub(r"\W+", "-", base).strip("-")[:60] + "-" + uuid.uuid4().hex[:8]


def refused(call, code, *words):
    """The client raises an error of this code, whose message has these words."""
    with pytest.raises(MlflowException) as e:
        call()
    also = "INTERNAL_ERROR" if PEER and code == "INVALID_PARAMETER_VALUE" else code  # of what MLflow's server did not foresee
    assert e.value.error_code in (code, also) and all(w in str(e.value) for w in words), e.value


def log(flavor, model, name, **kw):
    """log_model of either major, without a search for what the model needs: that takes seconds."""
    place = {"name": name} if MAJOR > 2 else {"artifact_path": name}
    if flavor is mlflow.pyfunc:
        place["python_model"] = model
        return flavor.log_model(**place, pip_requirements=[], **kw)
    return flavor.log_model(model, **place, pip_requirements=[], **kw)
