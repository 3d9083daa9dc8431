"""Holds Slipway and MLServer against the protocol and writes what was found, in Markdown."""

import argparse
import pathlib
import subprocess

import servers

INTRODUCTION = """\
# Conformance

The Open Inference Protocol has no test of its own. `python/conformance` is one: a black box that knows a server by its addresses and
one model of it by its metadata. It asks over REST, with binary tensors and over gRPC, and says of each rule whether the server
conforms, departs, or does not claim it. It runs against any server:

    python3 -m venv .venv-clients
    .venv-clients/bin/pip install -r python/requirements-clients.txt
    .venv-clients/bin/python python/conformance --url http://HOST:PORT --grpc HOST:PORT --model MODEL [--token-file FILE] [--json FILE]

The model must take any values of its datatypes. `make foreign` holds Slipway against it, where every departure is a failure;
`make conformance-mlserver` writes this page. Sections are those of `inference_rest.md` and `inference_grpc.md` of the Open Inference
Protocol and of Triton's pages on its extensions. Where these contradict themselves, either reading conforms: readiness may be told
by `live` (the text), by `ready` (KServe) or by both, as Slipway does; an error's status is "typically 400", so that any status from
400 to 499 is taken for a request that is wrong.
"""


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--platform", required=True)
    p.add_argument("--mlserver", required=True)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    exe = str(pathlib.Path(a.platform).resolve())
    with servers.slipway(exe) as (url, token_file):
        ours = servers.held(url, url.removeprefix("http://"), token_file)
    peer = str(pathlib.Path(a.mlserver).absolute())
    with servers.mlserver(peer) as (url, address):
        theirs = servers.held(url, address)
    version = subprocess.run([peer, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    pathlib.Path(a.out).write_text(page(ours, theirs, version))


def page(ours, theirs, version):
    lines = [INTRODUCTION, f"Found with a custom server behind Slipway and the same model in MLServer {version}:", ""]
    lines += ["| | conforms | departs | does not claim it |", "| --- | --- | --- | --- |"]
    for name, results in (("Slipway", ours), (f"MLServer {version}", theirs)):
        n = [sum(r["outcome"] == o for r in results) for o in ("conforms", "departs", "skipped")]
        lines.append(f"| {name} | {n[0]} | {n[1]} | {n[2]} |")
    lines += ["", "| rule | section | Slipway | MLServer |", "| --- | --- | --- | --- |"]
    for mine, other in zip(ours, theirs, strict=True):
        lines.append(f"| {mine['transport']}: {mine['rule']} | {mine['section']} | {cell(mine)} | {cell(other)} |")
    return "\n".join(lines) + "\n"


def cell(r):
    if r["outcome"] == "conforms":
        return "conforms"
    what = " ".join(r["what"].replace("|", "\\|").split())[:160]
    return f"{'**departs**' if r['outcome'] == 'departs' else 'not claimed'}: {what}"


if __name__ == "__main__":
    main()
