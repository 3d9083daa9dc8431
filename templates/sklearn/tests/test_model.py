"""What must hold of the model, apart from what the platform checks by itself.

    python train.py
    python -m pytest
"""

import json

import mlflow.models
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from train import HERE, TARGET, customers, features

# What callers send. A change here is a change for every one of them.
INPUTS = {
    "tenure_months": "long",
    "monthly_fee": "double",
    "support_calls_90d": "long",
    "days_since_login": "long",
    "data_used_gb": "double",
    "plan": "string",
    "region": "string",
    "pays_by": "string",
}


@pytest.fixture(scope="module")
def model():
    assert (HERE / "model").exists(), "run python train.py first"
    return mlflow.sklearn.load_model(str(HERE / "model"))


def risk(model, frame):
    return model.predict_proba(frame)[:, 1]


def test_the_signature_is_what_callers_send():
    signature = mlflow.models.get_model_info(str(HERE / "model")).signature
    assert {c.name: c.type.name for c in signature.inputs} == INPUTS
    assert [c.name for c in signature.inputs if not c.required] == ["data_used_gb"]


def test_the_goldens_are_the_answers_of_this_model(model):
    records = [json.loads(line) for line in (HERE / "golden.jsonl").read_text().splitlines()]
    frame = pd.DataFrame([r["inputs"] for r in records])
    assert len(records) >= 40 and frame.data_used_gb.isna().any()
    np.testing.assert_allclose(risk(model, frame), [r["outputs"]["probability"] for r in records], atol=1e-9)
    assert model.predict(frame).tolist() == [r["outputs"]["predict"] for r in records]


def test_it_orders_customers_that_it_has_not_seen(model):
    holdout = pd.read_csv(HERE / "holdout.csv")
    assert roc_auc_score(holdout[TARGET], risk(model, features(holdout))) > 0.83


@pytest.mark.parametrize(("column", "low", "high"), [("support_calls_90d", 0, 6), ("days_since_login", 0, 60)])
def test_what_annoys_raises_the_risk(model, column, low, high):
    frame = features(customers(500, seed=11))
    assert risk(model, frame.assign(**{column: high})).mean() > 1.5 * risk(model, frame.assign(**{column: low})).mean()


def test_a_category_that_training_never_saw_is_answered(model):
    frame = features(customers(50, seed=12))
    assert np.isfinite(risk(model, frame.assign(region="overseas"))).all()
