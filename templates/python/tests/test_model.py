"""What must hold of the model, apart from what the platform checks by itself.

    python train.py
    python -m pytest
"""

import json

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_score, recall_score

from train import HERE, INPUTS, TARGET, features

USUAL = {"kind": "home", "month": 4, "days": 30, "usage_kwh": 240.0, "usage_before_kwh": 235.0}


@pytest.fixture(scope="module")
def model():
    """The model as the platform loads it: from model/, with nothing of this directory."""
    assert (HERE / "model").exists(), "run python train.py first"
    return mlflow.pyfunc.load_model(str(HERE / "model"))


def ask(model, **changes):
    """The answer for the usual reading with some values changed."""
    frame = pd.DataFrame([{**USUAL, **changes}])
    return model.predict(frame).iloc[0].to_dict()


def test_the_signature_is_what_callers_send():
    signature = mlflow.models.get_model_info(str(HERE / "model")).signature
    assert signature.inputs == INPUTS
    assert INPUTS.input_names() == ["kind", "month", "days", "usage_kwh", "usage_before_kwh"]
    assert signature.outputs.input_names() == ["predict", "score", "reason"]


def test_the_goldens_are_the_answers_of_this_model(model):
    records = [json.loads(line) for line in (HERE / "golden.jsonl").read_text().splitlines()]
    frame = pd.DataFrame([r["inputs"] for r in records])
    want = pd.DataFrame([r["outputs"] for r in records])
    got = model.predict(frame)
    assert len(records) >= 40 and set(want.predict) == {0, 1}
    assert got.predict.tolist() == want.predict.tolist() and got.reason.tolist() == want.reason.tolist()
    np.testing.assert_allclose(got.score, want.score, atol=1e-9)


def test_it_tells_readings_that_it_has_not_seen(model):
    holdout = pd.read_csv(HERE / "holdout.csv")
    answer = model.predict(features(holdout)).predict
    assert precision_score(holdout[TARGET], answer) > 0.85
    assert recall_score(holdout[TARGET], answer) > 0.95


def test_a_usual_reading_passes(model):
    answer = ask(model)
    assert answer["predict"] == 0 and answer["reason"] == "" and answer["score"] < 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"usage_kwh": 2400.0}, "usage far above what is usual"),
        ({"usage_kwh": 24.0}, "usage far below what is usual"),
        ({"usage_kwh": 2400.0, "usage_before_kwh": np.nan}, "usage far above what is usual"),
        ({"usage_kwh": -240.0}, "usage is not above zero"),
        ({"usage_kwh": 0.0}, "usage is not above zero"),
        ({"days": 0}, "period is not above zero"),
        ({"month": 13}, "month is none"),
    ],
)
def test_what_is_wrong_is_named(model, changes, reason):
    answer = ask(model, **changes)
    assert answer["predict"] == 1 and answer["reason"] == reason and np.isfinite(answer["score"])


def test_a_large_customer_who_was_large_before_passes(model):
    assert ask(model, usage_kwh=1500.0, usage_before_kwh=1480.0)["predict"] == 0


def test_a_kind_that_training_never_saw_is_answered(model):
    assert ask(model, kind="farm")["predict"] == 0
