"""The wheel: built twice it has the same bytes; installed it brings the program and the SDK, and takes both away."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import venv

import pytest

import slipway_source

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    return slipway_source.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A clean environment with the wheel in it, and nothing else."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=True)
    pip(home, "install", "--no-index", "--no-deps", str(wheel))
    return home


def pip(home, *args):
    return subprocess.run([home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *args], check=True, capture_output=True, text=True).stdout


def run(home, *args, **options):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_") and k != "PYTHONPATH"}
    return subprocess.run(args, env={**clean, **options.pop("env", {})}, capture_output=True, text=True, check=False, **options)


def test_the_same_sources_give_the_same_bytes(wheel, tmp_path):
    again = slipway_source.build(tmp_path)
    assert again.name == wheel.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_it_brings_the_program_and_the_sdk(installed):
    done = run(installed, installed / "bin" / "platform", "version", "--json")
    assert json.loads(done.stdout)["version"] == "v9.8.7"
    code = "import slipway, sys; print(slipway.find_platform()); print(sorted(m for m in sys.modules if m in ('numpy', 'requests', 'pandas')))"
    found, others = run(installed, installed / "bin" / "python", "-c", code).stdout.split("\n")[:2]
    assert pathlib.Path(found) == installed / "bin" / "platform"
    assert others == "[]"
    assert "py.typed" in pip(installed, "show", "--files", "slipway")


def test_without_a_platform_it_says_what_to_do(installed, tmp_path):
    code = "import slipway\ntry:\n    slipway.predict('fraud', [{'a': 1}])\nexcept slipway.Error as e:\n    print(e.code, e.next)"
    done = run(installed, installed / "bin" / "python", "-c", code, env={"SLIPWAY_HOME": str(tmp_path / "none")})
    assert done.stdout.strip() == "SLIP-E0604 platform up", done.stderr


def test_it_goes_as_it_came(wheel, tmp_path):
    venv.create(tmp_path / "v", with_pip=True)
    pip(tmp_path / "v", "install", "--no-index", "--no-deps", str(wheel))
    pip(tmp_path / "v", "uninstall", "--yes", "slipway")
    assert not (tmp_path / "v" / "bin" / "platform").exists()
    assert run(tmp_path, tmp_path / "v" / "bin" / "python", "-c", "import slipway").returncode != 0


@pytest.mark.skipif(sys.platform != "linux", reason="the wheels are for Linux")
def test_another_platform_is_refused(wheel, tmp_path):
    other = tmp_path / wheel.name.replace("x86_64", "armv6l").replace("aarch64", "armv6l")
    other.write_bytes(wheel.read_bytes())
    venv.create(tmp_path / "v", with_pip=True)
    with pytest.raises(subprocess.CalledProcessError):
        pip(tmp_path / "v", "install", "--no-index", "--no-deps", str(other))
