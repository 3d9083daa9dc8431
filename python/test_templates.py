"""Every template of `platform init` is generated, trained, tested, deployed and called, and a broken one is told."""

import filecmp
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys

import conftest
import pytest
import yaml

import slipway

TRAIN_SECONDS = 300
DEPLOY_SECONDS = 600  # builds environments

# What breaks each: a file, what stands in it, and what then stands there.
BROKEN = {
    "xgboost": ("train.py", ".random(len(label)) < noise", ".random(len(label)) < 0.5"),
    "sklearn": ("train.py", "frame[TARGET])\n\n\ndef save", "frame[TARGET].sample(frac=1, random_state=0).to_numpy())\n\n\ndef save"),
    "python": ("scorer.py", '(score <= p["threshold"])', '(score > p["threshold"])'),
    "custom": ("server.py", "zip(self.weights[vehicle], terms)", 'zip(self.weights["bike"], terms)'),
}


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    """A platform that finds uv, and the environment of commands that call it."""
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    env = {**os.environ, "SLIPWAY_HOME": str(tmp_path_factory.mktemp("home") / "h"), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("SLIPWAY_SERVER", None)
    env.pop("SLIPWAY_TOKEN", None)
    up = subprocess.Popen([os.environ["PLATFORM"], "up", "--json", "--listen", "127.0.0.1:0"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        ready = json.loads(conftest.first_line(up))
        token = pathlib.Path(ready["token_file"]).read_text().strip()
        with slipway.Client(ready["url"], token) as client:
            yield client, env
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(conftest.START_SECONDS)
        except subprocess.TimeoutExpired:
            up.kill()


def run(env, directory, *command, code=0, seconds=TRAIN_SECONDS):
    """The output of a command, whose exit code must be the given one."""
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == code, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def platform(env, directory, *args, code=0):
    return run(env, directory, os.environ["PLATFORM"], *args, code=code, seconds=DEPLOY_SECONDS)


def generate(env, directory, template):
    platform(env, directory.parent, "init", directory.name, "--template", template)
    assert (directory / "model").exists() == (template == "xgboost")  # the only one that is trained already


@pytest.fixture(scope="module", params=BROKEN)
def template(request):
    return request.param


@pytest.fixture(scope="module")
def project(serving, template, tmp_path_factory):
    directory = tmp_path_factory.mktemp(template) / f"my-{template}"
    generate(serving[1], directory, template)
    run(serving[1], directory, sys.executable, "train.py")
    return directory


def answers(directory):
    return [json.loads(line) for line in (directory / "golden.jsonl").read_text().splitlines()]


def test_its_own_tests_pass(serving, project):
    run(serving[1], project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_training_again_gives_the_same(serving, template, project, tmp_path):
    run(serving[1], project, sys.executable, "train.py", "--out", str(tmp_path))
    made = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert {pathlib.Path("golden.jsonl"), pathlib.Path("holdout.csv"), pathlib.Path("model/MLmodel")} <= set(made)
    # skops writes the time and the addresses of arrays into its file.
    same = [str(p) for p in made if p.suffix != ".skops"]
    assert filecmp.cmpfiles(tmp_path, project, same, shallow=False) == (same, [], [])
    assert (len(same) == len(made)) == (template != "sklearn")


def test_it_names_no_place_of_the_machine_it_was_trained_on(project):
    for path in (project / "model").rglob("*"):
        assert path.is_dir() or str(project).encode() not in path.read_bytes()


def test_it_is_deployed_and_gives_the_answers_of_training(serving, project):
    client, env = serving
    platform(env, project, "validate")
    platform(env, project, "deploy", "--watch")
    assert client.status(project.name).state in ("live", "provisional")
    golden = answers(project)
    got = client.infer(project.name, [g["inputs"] for g in golden])
    assert set(got) == set(golden[0]["outputs"])
    for name, values in got.items():
        want = [g["outputs"][name] for g in golden]
        assert values == (pytest.approx(want, abs=1e-6) if isinstance(want[0], float) else want)
    first = json.loads(platform(env, project, "predict"))["predictions"][0]
    assert first == pytest.approx(golden[0]["outputs"]["predict"], abs=1e-6)
    assert "no changes" in platform(env, project, "deploy")


def test_a_broken_one_is_told_by_its_tests_and_by_the_platform(serving, template, tmp_path):
    client, env = serving
    name, good, bad = BROKEN[template]
    project = tmp_path / f"my-{template}"
    generate(env, project, template)
    text = (project / name).read_text()
    assert text.count(good) == 1
    (project / name).write_text(text.replace(good, bad))
    run(env, project, sys.executable, "train.py")
    run(env, project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", code=1)
    live = client.status(project.name).stable
    platform(env, project, "deploy", "--watch", code=3)
    assert client.status(project.name).stable == live


def commands(project):
    """The commands of both pipelines, job by job."""
    github = yaml.safe_load((project / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    gitlab = yaml.safe_load((project / ".gitlab-ci.yml").read_text())
    assert list(github) == gitlab["stages"]
    return [[[s["run"] for s in github[job]["steps"] if "run" in s], gitlab[job]["script"]] for job in github]


def test_the_pipelines_do_what_the_platform_can(serving, project):
    seen = []
    for github, gitlab in commands(project):
        assert github == gitlab
        seen += github
    for line in seen:
        words = shlex.split(line)
        if words[0] == "platform":
            text = platform(serving[1], project, words[1], "--help")
            assert all(w in text for w in words[2:])
        for w in words:
            assert not w.endswith((".py", ".txt")) or (project / w).is_file()
    assert [s for s in seen if s.startswith("platform")] == ["platform validate", "platform plan", "platform deploy --watch"]
    assert {"python train.py", "python -m pytest"} < set(seen)
