"""The image of a revision is a container image: unpacked and started by itself it answers as the platform does."""

import gzip
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile
import time

import numpy as np
import pandas as pd
import pytest
import tritonclient.http
import tritonclient.utils


@pytest.fixture(scope="session")
def image(platform, tmp_path_factory):
    """The layout on disk with all layers, and the digest of the newest deployment's image. The layer of the model is
    not kept, for it is not encrypted: the platform makes it again."""
    import requests
    import slipway

    d = slipway.Client(platform.url, platform.token).deployments("fraud")[0].record
    layout = tmp_path_factory.mktemp("image")
    shutil.copytree(pathlib.Path(platform.home, "images"), layout, dirs_exist_ok=True)
    r = requests.get(f"{platform.url}/v1/models/{d['model']}/versions/{d['version']}/layers/{d['image']}", headers={"Authorization": f"Bearer {platform.token}"}, timeout=60)
    r.raise_for_status()
    blob(layout, "sha256:" + hashlib.sha256(r.content).hexdigest()).write_bytes(r.content)
    return layout, d["image"]


def blob(layout, digest):
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def unpack(layout, digest, root):
    manifest = json.loads(blob(layout, digest).read_bytes())
    for layer in manifest["layers"]:
        data = blob(layout, layer["digest"])
        stream = gzip.open(data) if layer["mediaType"].endswith("gzip") else data.open("rb")
        with stream, tarfile.open(fileobj=stream) as tar:
            tar.extractall(root, filter="tar")
    return json.loads(blob(layout, manifest["config"]["digest"]).read_bytes())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root directory")
def test_the_image_runs_by_itself(image, golden, tmp_path):
    layout, digest = image
    tmp_path.chmod(0o755)  # the root of the image is its
    config = unpack(layout, digest, tmp_path)["config"]
    assert config["Entrypoint"] == ["/usr/local/bin/platform", "runtime", "serve"]
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    user = int(config["User"].split(":")[0])
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = dict(kv.split("=", 1) for kv in config["Env"])

    def contain():
        os.chroot(tmp_path)
        os.chdir("/")
        os.setgid(user)
        os.setuid(user)

    run = subprocess.Popen(config["Entrypoint"], env={**env, "SLIPWAY_LISTEN": "127.0.0.1:%d" % port}, preexec_fn=contain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with tritonclient.http.InferenceServerClient("127.0.0.1:%d" % port) as client:
            wait(client, run)
            frame = pd.DataFrame([g["inputs"] for g in golden]).dropna()
            inputs = []
            for declared in client.get_model_metadata("fraud")["inputs"]:
                dtype = tritonclient.utils.triton_to_np_dtype(declared["datatype"])
                tensor = tritonclient.http.InferInput(declared["name"], [len(frame)], declared["datatype"])
                inputs.append(tensor.set_data_from_numpy(frame[declared["name"]].to_numpy(dtype), binary_data=False))
            wanted = [tritonclient.http.InferRequestedOutput("probability", binary_data=False)]
            answer = client.infer("fraud", inputs, outputs=wanted)
            want = pd.DataFrame([g["outputs"] for g in golden]).loc[frame.index]
            np.testing.assert_allclose(answer.as_numpy("probability"), want["probability"], rtol=0, atol=1e-6)
    finally:
        run.terminate()
        run.wait(30)
    assert run.returncode == 0


def wait(client, run):
    for _ in range(200):
        assert run.poll() is None, run.stdout.read()
        try:
            if client.is_model_ready("fraud"):
                return
        except Exception:  # nobody listens yet
            pass
        time.sleep(0.05)
    raise AssertionError("the image did not get ready")
