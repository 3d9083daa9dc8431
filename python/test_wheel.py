"""The wheel: the same bytes each time; installed it brings the program and the SDK, and takes both away."""

import base64
import hashlib
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import venv
import zipfile

import pytest
import slipway_source
from conftest import START_SECONDS, first_line

BUILD = pathlib.Path(__file__).with_name("wheel") / "build.py"
RUN_SECONDS = 300

JOURNEY = """
import json, pathlib, slipway
d = slipway.deploy(timeout=200)
row = json.loads(pathlib.Path("golden.jsonl").read_text().splitlines()[0])
assert slipway.predict("fraud", row["inputs"]) == [row["outputs"]["predict"]]
print(d.status, slipway.wait(d.id, timeout=30).id == d.id, slipway.status("fraud").state)
try:
    slipway.rollback("fraud", "there is nothing before it")
except slipway.Error as e:
    print(e.code, e.status)
"""


@pytest.fixture(scope="session")
def build():
    spec = importlib.util.spec_from_file_location("slipway_wheel_build", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    return slipway_source.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A clean environment with the wheel in it, and nothing else."""
    return install(wheel, tmp_path_factory.mktemp("venv"))


def install(wheel, home):
    venv.create(home, with_pip=True)
    pip(home, "install", "--no-index", "--no-deps", str(wheel))
    return home


def pip(home, *args):
    command = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=RUN_SECONDS).stdout


def run(*args, cwd=None, **env):
    """Runs a command away from the sources, in an environment without settings of the platform's."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_") and k != "PYTHONPATH"}
    return subprocess.run(args, cwd=cwd, env={**clean, **env}, capture_output=True, text=True, check=False, timeout=RUN_SECONDS)


def test_the_same_sources_give_the_same_bytes(wheel, tmp_path):
    again = slipway_source.build(tmp_path)
    assert again.name == wheel.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_record_says_what_is_in_it(build, tmp_path, arch):
    files = build.contents("1.2.3", arch, {name: b"\x7fELF" for name in build.PROGRAMS}, b"notices")
    made = build.pack(files, tmp_path / "a", "1.2.3", arch)
    turned = build.pack(dict(reversed(files.items())), tmp_path / "b", "1.2.3", arch)
    assert made.read_bytes() == turned.read_bytes()
    info = "slipway_platform-1.2.3.dist-info/"
    with zipfile.ZipFile(made) as z:
        modes = {i.filename: i.external_attr >> 16 for i in z.infolist()}
        lines = [line.split(",") for line in z.read(info + "RECORD").decode().splitlines()]
        assert sorted(name for name, _, _ in lines) == sorted(modes)
        for name, digest, size in lines[:-1]:
            data = z.read(name)
            assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert int(size) == len(data)
        tags = [line[5:] for line in z.read(info + "WHEEL").decode().splitlines() if line.startswith("Tag: ")]
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[arch]
    assert tags == [f"py3-none-{t}_{machine}" for t in ("manylinux_2_17", "manylinux2014", "musllinux_1_1")]
    for name in build.PROGRAMS:
        assert modes.pop(f"slipway_platform-1.2.3.data/scripts/{name}") == 0o100755
    assert set(modes.values()) == {0o100644}
    assert list(tmp_path.glob("*/*.part")) == []


@pytest.mark.parametrize(
    ("git", "python"),
    [
        ("v0.2.0", "0.2.0"),
        ("0.2.0", "0.2.0"),
        ("v0.2.0-dirty", "0.2.0+dirty"),
        ("v1.0.0-rc.2", "1.0.0rc2"),
        ("v0.2.0-3-gabc1234", "0.2.1.dev3+gabc1234"),
        ("v0.2.0-3-gabc1234-dirty", "0.2.1.dev3+gabc1234.dirty"),
        ("v1.0.0-rc1-3-gabc1234", "1.0.0rc2.dev3+gabc1234"),
        ("abc1234", "0.0.0.dev0+gabc1234"),
        ("abc1234-dirty", "0.0.0.dev0+gabc1234.dirty"),
        ("dev", "0.0.0.dev0"),
    ],
)
def test_versions(build, git, python):
    from packaging.version import Version

    assert build.pep440(git) == python == str(Version(python))


@pytest.mark.parametrize("text", ["", "v1", "1.2.3; rm -rf", "latest", "v1.2.3/../x", "v1.2.3\n", "xyz-dirty"])
def test_what_is_no_version_builds_nothing(tmp_path, text):
    done = run("python3", str(BUILD), "--version", text, "--out", str(tmp_path / "out"))
    assert done.returncode != 0 and "no version" in done.stderr and not (tmp_path / "out").exists()


def test_it_brings_the_program_and_the_sdk(installed, tmp_path):
    program, python = installed / "bin" / "platform", installed / "bin" / "python"
    assert json.loads(run(program, "version", "--json").stdout)["version"] == "v9.8.7"
    onnx = json.loads(run(installed / "bin" / "platform-onnx", "version").stdout)
    assert onnx["version"] == "v9.8.7" and "slipway-platform[onnx]" in onnx["problem"]
    assert json.loads(run(python, "-m", "slipway", "version", "--json").stdout)["version"] == "v9.8.7"
    code = "import slipway, sys; print(slipway.find_platform_bin()); print('numpy' in sys.modules)"
    assert run(python, "-c", code, cwd=tmp_path).stdout.split() == [str(program), "False"]
    listed = pip(installed, "show", "--verbose", "--files", "slipway-platform")
    assert {"slipway/py.typed", "../../../bin/platform", "Requires: uv"} <= {line.strip() for line in listed.splitlines()}
    assert "THIRD-PARTY.txt" in listed and "Version: 9.8.7" in listed


def test_third_parties_are_named(wheel):
    with zipfile.ZipFile(wheel) as z:
        text = z.read("slipway_platform-9.8.7.dist-info/licenses/THIRD-PARTY.txt").decode()
    assert "github.com/spf13/cobra v" in text and "Go go1." in text and "github.com/slipway-ml/slipway" not in text


def test_without_a_platform_it_says_what_to_do(installed, tmp_path):
    code = (
        "import slipway\ntry:\n    slipway.predict('fraud', [{'a': 1}])\nexcept slipway.Error as e:\n    print(e.code, e.next_step)"
    )
    done = run(installed / "bin" / "python", "-c", code, cwd=tmp_path, SLIPWAY_HOME=str(tmp_path / "none"))
    assert done.stdout.strip() == "SLIP-E0604 platform up", done.stderr


def test_from_the_wheel_to_a_prediction(installed, tmp_path):
    program, home, project = installed / "bin" / "platform", tmp_path / "home", tmp_path / "fraud"
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_") and k != "PYTHONPATH"}
    command = [program, "up", "--json", "--listen", "127.0.0.1:0"]
    up = subprocess.Popen(command, env={**env, "SLIPWAY_HOME": str(home)}, stdout=subprocess.PIPE, text=True)
    try:
        first_line(up)
        assert run(program, "init", project).returncode == 0
        done = run(installed / "bin" / "python", "-c", JOURNEY, cwd=project, SLIPWAY_HOME=str(home))
        assert done.stdout.splitlines() == ["succeeded True provisional", "SLIP-E0404 409"], done.stderr
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            up.kill()


def test_it_goes_as_it_came(wheel, tmp_path):
    home = install(wheel, tmp_path / "v")
    pip(home, "uninstall", "--yes", "slipway-platform")
    assert not (home / "bin" / "platform").exists()
    assert not list(home.glob("lib/*/site-packages/slipway*"))


def test_another_platform_is_refused(installed, wheel, tmp_path):
    other = tmp_path / wheel.name.replace("x86_64", "armv6l").replace("aarch64", "armv6l")
    other.write_bytes(wheel.read_bytes())
    with pytest.raises(subprocess.CalledProcessError) as e:
        pip(installed, "install", "--no-index", "--no-deps", str(other))
    assert "not a supported wheel" in e.value.stderr
