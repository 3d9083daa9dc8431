"""Clients that others wrote get the library's own answers from a running platform."""

import mlflow.deployments
import numpy as np
import pandas as pd
import pytest
import requests
import sklearn.metrics
import tritonclient.http
import tritonclient.utils
import xgboost

ENDPOINT = "fraud"
INVOCATIONS = f"/endpoints/{ENDPOINT}/invocations"


@pytest.fixture(scope="session")
def triton(platform):
    with tritonclient.http.InferenceServerClient(platform.host) as client:
        yield client


def columns(client, platform, frame):
    """The inputs that the endpoint's metadata asks for, one tensor a column, as JSON."""
    inputs = []
    for declared in client.get_model_metadata(ENDPOINT, headers=platform.headers)["inputs"]:
        dtype = tritonclient.utils.triton_to_np_dtype(declared["datatype"])
        tensor = tritonclient.http.InferInput(declared["name"], [len(frame)], declared["datatype"])
        inputs.append(tensor.set_data_from_numpy(frame[declared["name"]].to_numpy(dtype), binary_data=False))
    return inputs


def outputs(*names):
    return [tritonclient.http.InferRequestedOutput(name, binary_data=False) for name in names]


def test_triton_client_sees_a_live_and_ready_server(platform, triton):
    assert triton.is_server_live(headers=platform.headers)
    assert triton.is_server_ready(headers=platform.headers)
    assert triton.is_model_ready(ENDPOINT, headers=platform.headers)


def test_triton_client_gets_the_golden_answers(platform, triton, golden):
    frame = pd.DataFrame([g["inputs"] for g in golden]).dropna()
    answer = triton.infer(
        ENDPOINT,
        columns(triton, platform, frame),
        outputs=outputs("predict", "probability"),
        request_id="golden",
        headers=platform.headers,
    )
    want = pd.DataFrame([g["outputs"] for g in golden]).loc[frame.index]
    assert answer.get_response()["id"] == "golden"
    np.testing.assert_array_equal(answer.as_numpy("predict"), want["predict"])
    np.testing.assert_allclose(answer.as_numpy("probability"), want["probability"], rtol=0, atol=1e-6)


def test_triton_client_is_told_what_is_wrong(platform, triton, golden):
    frame = pd.DataFrame([golden[0]["inputs"]])
    with pytest.raises(tritonclient.utils.InferenceServerException, match="amount"):
        triton.infer(
            ENDPOINT,
            [c for c in columns(triton, platform, frame) if c.name() != "amount"],
            outputs=outputs("predict"),
            headers=platform.headers,
        )
    with pytest.raises(tritonclient.utils.InferenceServerException, match="token"):
        triton.infer(ENDPOINT, [tritonclient.http.InferInput("x", [0], "FP32")], outputs=outputs("predict"))


@pytest.mark.parametrize("orient", ["split", "records"])
def test_requests_speaks_the_scoring_protocol_of_mlflow(platform, golden, orient):
    rows = [g["inputs"] for g in golden]
    names = list(rows[0])
    body = {
        "split": {"dataframe_split": {"columns": names, "data": [[r[n] for n in names] for r in rows]}},
        "records": {"dataframe_records": rows},
    }[orient]
    r = requests.post(platform.url + INVOCATIONS, json=body, headers=platform.headers, timeout=10)
    assert r.status_code == 200, r.text
    assert r.json() == {"predictions": [g["outputs"]["predict"] for g in golden]}


def test_requests_are_refused_with_the_place(platform, golden):
    row = {**golden[0]["inputs"], "hour": "noon"}
    r = requests.post(
        platform.url + INVOCATIONS, json={"dataframe_records": [row]}, headers=platform.headers, timeout=10
    )
    assert r.status_code == 422
    assert "hour" in r.text and "noon" not in r.text
    r = requests.post(platform.url + INVOCATIONS, json={"dataframe_records": [row]}, timeout=10)
    assert r.status_code == 401


def test_mlflow_deployments_client(platform, golden, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", platform.token)
    client = mlflow.deployments.get_deploy_client(platform.url)
    answer = client.predict(endpoint=ENDPOINT, inputs={"dataframe_records": [g["inputs"] for g in golden]})
    assert answer["predictions"] == [g["outputs"]["predict"] for g in golden]


def test_the_endpoint_is_as_good_as_the_library(platform, triton):
    frame = pd.read_csv(platform.project / "holdout.csv").dropna()
    labels = frame.pop("fraud")
    model = xgboost.XGBClassifier()
    model.load_model(platform.project / "model" / "model.ubj")
    answer = triton.infer(
        ENDPOINT, columns(triton, platform, frame), outputs=outputs("probability"), headers=platform.headers
    )
    got, want = answer.as_numpy("probability"), model.predict_proba(frame)[:, 1]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    assert sklearn.metrics.roc_auc_score(labels, got) == pytest.approx(
        sklearn.metrics.roc_auc_score(labels, want), abs=1e-9
    )
