"""Builds the wheels of slipway: the program `platform` and the SDK, one wheel for each platform.

The same sources give the same bytes: files are sorted, times and permissions are fixed.

    python python/wheel/build.py --version 0.2.0 --out dist [--arch amd64]
"""

import argparse
import base64
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The program is static, so it runs with either C library. It needs Linux: namespaces, cgroups, /proc.
PLATFORMS = {
    "amd64": "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "arm64": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
}
EPOCH = (2026, 1, 1, 0, 0, 0)


def pep440(version: str) -> str:
    """Makes a version of Python's of one of git's: v0.2.0-3-gabc becomes 0.2.0.post3+gabc."""
    m = re.match(r"^v?(\d+\.\d+\.\d+)(?:-(\d+)-g([0-9a-f]+))?(?:-dirty)?$", version)
    if not m:
        return "0.0.0+" + re.sub(r"[^a-z0-9]+", ".", version.lower()).strip(".")
    base, commits, commit = m.groups()
    return base if not commits else "%s.post%s+g%s" % (base, commits, commit)


def compile_program(version: str, arch: str, out: pathlib.Path) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch, "GOFLAGS": "-mod=readonly"}
    flags = "-s -w -buildid= -X main.version=" + version
    subprocess.run(["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(out), "./cmd/platform"], cwd=ROOT, env=env, check=True)


def metadata(version: str) -> str:
    readme = (ROOT / "python" / "slipway" / "README.md").read_text()
    return "\n".join([
        "Metadata-Version: 2.4",
        "Name: slipway",
        "Version: " + version,
        "Summary: Deploy models, ask them, take back what does not work: the program platform and its Python SDK",
        "Requires-Python: >=3.9",
        "Requires-Dist: uv>=0.9",
        "License-File: LICENSE",
        "Description-Content-Type: text/markdown",
        "",
        readme,
    ])


def wheel_file(tags: str) -> str:
    lines = ["Wheel-Version: 1.0", "Generator: slipway", "Root-Is-Purelib: false"]
    return "\n".join(lines + ["Tag: py3-none-" + tag for tag in tags.split(".")]) + "\n"


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return "%s,sha256=%s,%d\n" % (name, digest, len(data))


def build(version: str, arch: str, out: pathlib.Path) -> pathlib.Path:
    tags, number = PLATFORMS[arch], pep440(version)
    info, data = "slipway-%s.dist-info" % number, "slipway-%s.data" % number
    files = {}
    for path in sorted((ROOT / "python" / "slipway").iterdir()):
        if path.suffix == ".py" or path.name == "py.typed":
            files["slipway/" + path.name] = (path.read_bytes(), 0o644)
    with tempfile.TemporaryDirectory() as tmp:
        program = pathlib.Path(tmp, "platform")
        compile_program(version, arch, program)
        files[data + "/scripts/platform"] = (program.read_bytes(), 0o755)
    files[info + "/METADATA"] = (metadata(number).encode(), 0o644)
    files[info + "/WHEEL"] = (wheel_file(tags).encode(), 0o644)
    files[info + "/licenses/LICENSE"] = ((ROOT / "LICENSE").read_bytes(), 0o644)
    record = "".join(record_line(name, content) for name, (content, _) in sorted(files.items()))
    files[info + "/RECORD"] = ((record + info + "/RECORD,,\n").encode(), 0o644)
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / ("slipway-%s-py3-none-%s.whl" % (number, tags))
    draft = wheel.with_suffix(".tmp")
    with zipfile.ZipFile(draft, "w") as z:
        for name in sorted(files, key=lambda n: (n.startswith(info), n)):  # what pip reads first comes last, as PEP 427 advises
            content, mode = files[name]
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr, entry.compress_type, entry.create_system = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED, 3
            z.writestr(entry, content, compresslevel=6)
    draft.replace(wheel)
    return wheel


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--version", default="dev")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "dist")
    p.add_argument("--arch", choices=sorted(PLATFORMS), action="append", help="default: all")
    args = p.parse_args()
    for arch in args.arch or sorted(PLATFORMS):
        wheel = build(args.version, arch, args.out)
        print("%s  %.1f MiB" % (wheel.name, wheel.stat().st_size / (1 << 20)), file=sys.stderr)
        print(wheel)


main()
