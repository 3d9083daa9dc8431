"""Artifacts through MLflow's own client: files by path, in parts, in ranges, and what deleting leaves."""

import os
import pathlib
import urllib.parse

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

PROXY = "/api/2.0/mlflow-artifacts/"


def bearer(server):
    return {"Authorization": "Bearer " + server.token} if server.token else {}


@pytest.fixture
def run(client):
    with mlflow.start_run() as run:
        return run.info


def place(run):
    return urllib.parse.urlparse(run.artifact_uri).path.strip("/")


def test_files(server, client, run, tmp_path):
    files = {"a b ä.txt": b"text", "empty": b"", "100%.txt": b"per cent", "model/MLmodel": b"flavors: {}", "model/data/weights.bin": os.urandom(3 << 20)}
    for name, content in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    client.log_artifacts(run.run_id, str(tmp_path / "in"))
    assert {(f.path, f.is_dir) for f in client.list_artifacts(run.run_id)} == {("a b ä.txt", False), ("empty", False), ("100%.txt", False), ("model", True)}
    assert [(f.path, f.file_size) for f in client.list_artifacts(run.run_id, "model/data")] == [("model/data/weights.bin", 3 << 20)]
    assert client.list_artifacts(run.run_id, "model/MLmodel") == []
    assert client.list_artifacts(run.run_id, "nothing") == []
    out = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="", dst_path=str(tmp_path / "out")))
    for name, content in files.items():
        assert (out / name).read_bytes() == content, name
    client.log_text(run.run_id, "other", "model/MLmodel")
    assert mlflow.artifacts.load_text(f"{run.artifact_uri}/model/MLmodel") == "other"
    with pytest.raises(MlflowException):
        mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="nothing", dst_path=str(tmp_path / "none"))


def test_deleting(client, run):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client.log_text(run.run_id, "x", "dir/x.txt")
    client.log_text(run.run_id, "y", "dir/deep/y.txt")
    repository = get_artifact_repository(run.artifact_uri)
    repository.delete_artifacts("dir/deep")
    assert [f.path for f in client.list_artifacts(run.run_id, "dir")] == ["dir/x.txt"]
    repository.delete_artifacts()
    assert client.list_artifacts(run.run_id) == []
    repository.delete_artifacts("dir")


@pytest.mark.ours
def test_parts(client, run, tmp_path, monkeypatch):
    for name, value in {
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
        "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(1 << 20),
        "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 << 20),
        "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(4 << 20),
    }.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "big.bin"
    file.write_bytes(os.urandom(17 << 20))
    client.log_artifact(run.run_id, str(file), "parts")
    assert [(f.path, f.file_size) for f in client.list_artifacts(run.run_id, "parts")] == [("parts/big.bin", 17 << 20)]
    got = mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="parts/big.bin", dst_path=str(tmp_path / "out"))
    assert pathlib.Path(got).read_bytes() == file.read_bytes()


def test_ranges_and_headers(server, client, run):
    client.log_text(run.run_id, "0123456789" * 20_000, "x.txt")
    url = server.url + PROXY + "artifacts/" + place(run) + "/x.txt"
    whole = requests.get(url, headers=bearer(server), timeout=10)
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Content-Disposition"] == "attachment; filename=x.txt"
    assert whole.headers["Content-Type"].startswith("text/plain")
    etag = whole.headers["ETag"]
    part = requests.get(url, headers={**bearer(server), "Range": "bytes=65530-65541", "If-Range": etag}, timeout=10)
    assert (part.status_code, part.text, part.headers["Content-Range"]) == (206, "012345678901", "bytes 65530-65541/200000")
    assert requests.get(url, headers={**bearer(server), "If-None-Match": etag}, timeout=10).status_code == 304


@pytest.mark.parametrize("path", ["..%2Fx", "%252e%252e%252fx", "a%5Cb", "a%23b", "%2Fetc%2Fpasswd", "a%2F..%2F..%2Fb"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_paths_lead_nowhere_else(server, method, path):
    answer = requests.request(method, server.url + PROXY + "artifacts/" + path, headers=bearer(server), timeout=10)
    assert (answer.status_code, answer.json()) == (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid path"})
