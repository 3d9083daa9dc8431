"""The demonstration goes as it says."""

import json
import os
import subprocess


def test_the_demo_goes_as_it_should():
    done = subprocess.run([os.environ["PLATFORM"], "demo", "--json"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert all(isinstance(json.loads(line), dict) for line in done.stdout.splitlines())
