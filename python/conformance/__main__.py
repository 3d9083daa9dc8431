"""Holds a server against the Open Inference Protocol: python python/conformance --help."""

import argparse
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "internal/gateway/openinference/pb"))

import checks  # noqa: E402
import over_binary  # noqa: E402, F401
import over_grpc  # noqa: E402, F401
import over_rest  # noqa: E402, F401


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--url", required=True, help="of REST: http://host:port")
    p.add_argument("--grpc", required=True, help="address of gRPC: host:port")
    p.add_argument("--model", required=True, help="a model that takes any values of its datatypes")
    p.add_argument("--token-file", help="file with the bearer's token; without it none is sent")
    p.add_argument("--json", help="file for the results")
    a = p.parse_args()
    token = pathlib.Path(a.token_file).read_text().strip() if a.token_file else ""
    target = checks.Target(a.url.rstrip("/"), a.grpc, a.model, token)
    try:
        results = checks.run(target)
    finally:
        target.close()
    if a.json:
        checks.dump(results, a.json)
    print(checks.table(results))
    departures = [r for r in results if r["outcome"] == "departs"]
    print(f"\n{len(results)} checks, {len(departures)} departures", file=sys.stderr)
    return 1 if departures else 0


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    sys.exit(main())
