"""What must hold of the model, apart from what the platform checks by itself.

    python -m pytest
"""

import json

import mlflow.models
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from train import HERE, TARGET, features, transactions

# What callers send. A change here is a change for every one of them.
INPUTS = {
    "amount": "double",
    "amount_to_mean_ratio": "double",
    "mean_amount_90d": "double",
    "hour": "long",
    "day_of_week": "long",
    "card_present": "long",
    "account_age_days": "long",
    "distance_from_home_km": "double",
    "is_abroad": "long",
    "transactions_1h": "long",
    "transactions_24h": "long",
    "declined_24h": "long",
    "new_device": "long",
    "merchant_risk": "double",
    "merchant_age_days": "long",
    "minutes_since_last": "double",
}


@pytest.fixture(scope="module")
def model():
    return mlflow.xgboost.load_model(str(HERE / "model"))


def risk(model, frame):
    return model.predict_proba(frame)[:, 1]


def test_the_signature_is_what_callers_send():
    signature = mlflow.models.get_model_info(str(HERE / "model")).signature
    assert {c.name: c.type.name for c in signature.inputs} == INPUTS
    assert [c.name for c in signature.inputs if not c.required] == ["merchant_risk"]


def test_the_goldens_are_the_answers_of_this_model(model):
    records = [json.loads(line) for line in (HERE / "golden.jsonl").read_text().splitlines()]
    frame = pd.DataFrame([r["inputs"] for r in records])
    assert len(records) >= 50 and frame.merchant_risk.isna().any()
    np.testing.assert_allclose(risk(model, frame), [r["outputs"]["probability"] for r in records], atol=1e-6)
    assert model.predict(frame).tolist() == [r["outputs"]["predict"] for r in records]


def test_it_orders_rows_that_it_has_not_seen(model):
    holdout = pd.read_csv(HERE / "holdout.csv")
    assert roc_auc_score(holdout[TARGET], risk(model, features(holdout))) > 0.95


@pytest.mark.parametrize(
    ("column", "low", "high"), [("declined_24h", 0, 3), ("merchant_risk", 0.02, 0.5), ("amount_to_mean_ratio", 0.5, 12.0)]
)
def test_what_is_suspicious_raises_the_risk(model, column, low, high):
    frame = features(transactions(500, seed=11))
    assert risk(model, frame.assign(**{column: high})).mean() > 1.5 * risk(model, frame.assign(**{column: low})).mean()
