"""Builds the wheels of slipway-platform: the program `platform` and the SDK, one wheel a platform.

    python3 python/wheel/build.py --version "$(git describe --tags --always --dirty)" --out dist

The same sources, Go and zlib give the same bytes. Only Linux: the program does not compile for
anything else. Prints the paths of the wheels.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME, ESCAPED = "slipway-platform", "slipway_platform"
PROGRAMS = ("platform", "platform-onnx")
# The platform is static and runs with either C library; platform-onnx needs glibc, as ONNX Runtime does.
TAGS = {
    "amd64": "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "arm64": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
}
TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can have
FILE, PROGRAM = 0o100644, 0o100755

Files = dict[str, tuple[bytes, int]]  # contents and mode by name


def pep440(version: str) -> str:
    """Python's form of what `git describe` says. v0.2.0-3-gabc is on the way to 0.2.1; a commit that
    follows no tag is before any version."""
    dirty = ".dirty" if version.endswith("-dirty") else ""
    text = version[: -len("-dirty")] if dirty else version
    if m := re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(?:-rc\.?(\d+))?(?:-(\d+)-g([0-9a-f]+))?", text):
        major, minor, patch, candidate, commits, commit = m.groups()
        base = f"{int(major)}.{int(minor)}."
        if not commits:
            return f"{base}{int(patch)}" + (f"rc{int(candidate)}" if candidate else "") + ("+dirty" if dirty else "")
        number = f"{int(patch)}rc{int(candidate) + 1}" if candidate else f"{int(patch) + 1}"
        return f"{base}{number}.dev{int(commits)}+g{commit}{dirty}"
    if re.fullmatch(r"[0-9a-f]{7,40}", text):
        return f"0.0.0.dev0+g{text}{dirty}"
    if text == "dev":
        return "0.0.0.dev0"
    raise ValueError(f"{version!r} is no version: give one such as v0.2.0, or what git describe says")


def go(arch: str, *args: str) -> bytes:
    """What a go command prints, for an architecture."""
    env = {**os.environ, "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch}
    return subprocess.run(["go", *args], cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE).stdout


def compiled(version: str, arch: str, name: str) -> bytes:
    """A program, as the Makefile builds it but for the state of the checkout."""
    with tempfile.TemporaryDirectory() as tmp:
        out = pathlib.Path(tmp, name)
        go(
            arch,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            f"-s -w -X main.version={version}",
            "-o",
            str(out),
            f"./cmd/{name}",
        )
        return out.read_bytes()


def notices(arch: str) -> bytes:
    """The licences of Go and of every module in the program: most ask to go along with it."""
    listed = go(
        arch,
        "list",
        "-deps",
        "-f",
        "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}",
        *(f"./cmd/{name}" for name in PROGRAMS),
    )
    modules = {tuple(line.split("\t")) for line in listed.decode().splitlines() if line}
    modules.add(
        ("Go " + json.loads(go(arch, "env", "-json", "GOVERSION"))["GOVERSION"], go(arch, "env", "GOROOT").decode().strip())
    )
    parts = []
    for title, folder in sorted(modules):
        for file in sorted(pathlib.Path(folder).iterdir()):
            if re.match(r"(?i)(licen[cs]e|copying|notice|patents)", file.name) and file.is_file():
                text = file.read_text("utf-8", "replace").strip()
                parts.append(f"{'=' * 78}\n{title}: {file.name}\n{'=' * 78}\n\n{text}\n")
    return "\n".join(parts).encode()


def metadata(number: str, readme: str) -> str:
    head = [
        "Metadata-Version: 2.4",
        f"Name: {NAME}",
        f"Version: {number}",
        "Summary: Deploy models, call them, take back what does not work: the program platform and its Python SDK",
        "License-Expression: Apache-2.0",
        "License-File: LICENSE",
        "License-File: THIRD-PARTY.txt",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Programming Language :: Python :: 3",
        "Classifier: Typing :: Typed",
        "Requires-Python: >=3.9",
        "Requires-Dist: uv>=0.9",
        "Provides-Extra: onnx",
        "Requires-Dist: onnxruntime>=1.16; extra == 'onnx'",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(head) + "\n\n" + readme


def contents(number: str, arch: str, programs: dict[str, bytes], third_party: bytes) -> Files:
    """The files of a wheel, but for RECORD."""
    info = f"{ESCAPED}-{number}.dist-info"
    sdk = ROOT / "python" / "slipway"
    wheel = [
        "Wheel-Version: 1.0",
        "Generator: slipway",
        "Root-Is-Purelib: false",
        *(f"Tag: py3-none-{t}" for t in TAGS[arch].split(".")),
    ]
    files: Files = {f"slipway/{p.name}": (p.read_bytes(), FILE) for p in sdk.iterdir() if p.suffix == ".py" or p.name == "py.typed"}
    for name, program in programs.items():
        files[f"{ESCAPED}-{number}.data/scripts/{name}"] = (program, PROGRAM)
    files[f"{info}/METADATA"] = (metadata(number, (sdk / "README.md").read_text("utf-8")).encode(), FILE)
    files[f"{info}/WHEEL"] = ("\n".join(wheel).encode() + b"\n", FILE)
    files[f"{info}/licenses/LICENSE"] = ((ROOT / "LICENSE").read_bytes(), FILE)
    files[f"{info}/licenses/THIRD-PARTY.txt"] = (third_party, FILE)
    return files


def pack(files: Files, out: pathlib.Path, number: str, arch: str) -> pathlib.Path:
    """Writes a wheel with its RECORD. dist-info comes last, as the format advises."""
    record = f"{ESCAPED}-{number}.dist-info/RECORD"
    lines = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name][0]).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(files[name][0])}\n")
    entries = {**files, record: (("".join(lines) + f"{record},,\n").encode(), FILE)}
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / f"{ESCAPED}-{number}-py3-none-{TAGS[arch]}.whl"
    draft = wheel.with_suffix(".part")
    with zipfile.ZipFile(draft, "w") as z:
        for name in sorted(entries, key=lambda n: (".dist-info/" in n, n == record, n)):
            data, mode = entries[name]
            entry = zipfile.ZipInfo(name, TIME)
            entry.create_system, entry.external_attr, entry.compress_type = 3, mode << 16, zipfile.ZIP_DEFLATED
            z.writestr(entry, data, compresslevel=9)
    draft.replace(wheel)  # half a wheel is never seen
    return wheel


def main() -> None:
    p = argparse.ArgumentParser(description="Build the wheels of slipway-platform.")
    p.add_argument("--version", default="dev", help="as git describe says it")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "dist")
    p.add_argument("--arch", choices=sorted(TAGS), action="append", help="again for more; all unless given")
    args = p.parse_args()
    try:
        number = pep440(args.version)
    except ValueError as e:
        sys.exit(str(e))
    for arch in args.arch or sorted(TAGS):
        files = contents(number, arch, {name: compiled(args.version, arch, name) for name in PROGRAMS}, notices(arch))
        print(pack(files, args.out, number, arch))


if __name__ == "__main__":
    main()
