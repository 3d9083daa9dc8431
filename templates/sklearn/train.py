"""Train a model that tells which customers will leave, and write what `platform deploy` needs.

    pip install -r requirements.txt
    python train.py

The data are SYNTHETIC: a seeded generator below draws customers and decides by a formula,
with noise, which of them leave. They describe no real people; replace `customers` by a
query of your own data to make the model real.

Written: model/ (MLflow's format), golden.jsonl (rows with scikit-learn's own predictions,
which the platform replays before a release) and holdout.csv (labelled rows that the
platform scores the model on). Every draw is seeded: to train again gives the same answers.
"""

import argparse
import json
import pathlib
import shutil
import tempfile
import warnings

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = pathlib.Path(__file__).resolve().parent
TARGET = "churned"
NUMBERS = ["tenure_months", "monthly_fee", "support_calls_90d", "days_since_login", "data_used_gb"]
CATEGORIES = ["plan", "region", "pays_by"]


def customers(n, seed):
    """Draw n synthetic customers with their label. `data_used_gb` is unknown (missing) for
    about a tenth of them."""
    rng = np.random.default_rng(seed)
    plan = rng.choice(["basic", "plus", "pro"], n, p=[0.5, 0.35, 0.15])
    pays_by = rng.choice(["card", "debit", "invoice"], n, p=[0.5, 0.35, 0.15])
    fee = pd.Series(plan).map({"basic": 12.0, "plus": 25.0, "pro": 60.0}).to_numpy()
    tenure = rng.gamma(1.6, 18, n).astype("int64") + 1
    calls = rng.poisson(np.where(rng.random(n) < 0.15, 4.0, 0.6))
    idle = np.minimum(rng.exponential(9, n), 90).astype("int64")
    frame = pd.DataFrame(
        {
            "tenure_months": tenure,
            "monthly_fee": np.round(fee * rng.uniform(0.8, 1.2, n), 2),
            "support_calls_90d": calls,
            "days_since_login": idle,
            "data_used_gb": np.round(rng.lognormal(2.2, 0.8, n), 1),
            "plan": plan,
            "region": rng.choice(["north", "east", "south", "west"], n),
            "pays_by": pays_by,
        }
    )
    logit = (
        -1.5
        - 0.045 * frame.tenure_months
        + 0.55 * frame.support_calls_90d
        + 0.06 * frame.days_since_login
        + 0.02 * (frame.monthly_fee - 20)
        - 0.02 * frame.data_used_gb
        + 0.8 * (frame.pays_by == "invoice")
        - 0.6 * (frame.plan == "pro")
    )
    frame[TARGET] = (logit + rng.logistic(0, 0.8, n) > 0).astype("int64")
    frame.loc[rng.random(n) < 0.1, "data_used_gb"] = np.nan
    return frame


def features(frame):
    return frame[NUMBERS + CATEGORIES]


def train(frame):
    """Fit one pipeline that takes the columns as they are: what is prepared here is prepared
    in the same way when the model serves."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
            # A category that training never saw counts as none of those it saw.
            ("categories", OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        ]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return model.fit(features(frame), frame[TARGET])


def save(model, sample, path):
    """Write model/ in MLflow's format, without what differs from run to run."""
    requirements = (HERE / "requirements.txt").read_text().split()
    with tempfile.TemporaryDirectory() as tmp:
        mlflow.sklearn.save_model(
            model, f"{tmp}/model", pip_requirements=requirements,
            # The format skops runs no code when it is read. Types beyond its own list are named.
            serialization_format="skops", skops_trusted_types=["numpy.dtype"],
            signature=infer_signature(features(sample), model.predict(features(sample))),
            input_example=features(sample).dropna().head(3),
        )
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(f"{tmp}/model", path)
    # The platform serves scikit-learn without MLflow, so the model's environment needs none.
    needed = [line for line in requirements if not line.startswith("mlflow")]
    (path / "requirements.txt").write_text("\n".join(needed) + "\n")
    described = (path / "MLmodel").read_text().splitlines()
    described = [line for line in described if not line.startswith(("model_uuid:", "utc_time_created:"))]
    (path / "MLmodel").write_text("\n".join(described) + "\n")


def plain(value):
    """A value as JSON has it; what is missing is null."""
    value = value.item() if hasattr(value, "item") else value
    return None if pd.isna(value) else value


def write_golden(model, rows, path):
    """Write rows with what scikit-learn itself answers for them."""
    table = features(rows)
    answers = zip(model.predict(table), model.predict_proba(table)[:, 1])
    with open(path, "w") as out:
        for row, (label, p) in zip(table.to_dict("records"), answers):
            inputs = {name: plain(value) for name, value in row.items()}
            outputs = {"predict": int(label), "probability": float(p)}
            out.write(json.dumps({"inputs": inputs, "outputs": outputs}) + "\n")


def golden_rows(frame, n=40):
    """A mix of rows: half of the customers left, one has a missing value, and one comes from
    a region that training never saw."""
    left = frame[frame[TARGET] == 1].head(n // 2)
    rows = pd.concat([left, frame[frame[TARGET] == 0].head(n - len(left))], ignore_index=True)
    rows.loc[1, "data_used_gb"] = np.nan
    rows.loc[2, "region"] = "overseas"
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE, help="the folder to write to")
    out = parser.parse_args().out
    # MLflow hints that integers cannot be missing: here they never are.
    warnings.filterwarnings("ignore", message="Hint: Inferred schema")
    data, holdout = customers(8000, seed=1), customers(2000, seed=2)
    model = train(data)
    out.mkdir(parents=True, exist_ok=True)
    holdout.to_csv(out / "holdout.csv", index=False)
    save(model, data.head(50), out / "model")
    write_golden(model, golden_rows(customers(500, seed=3)), out / "golden.jsonl")
    p = model.predict_proba(features(holdout))[:, 1]
    print(f"roc_auc {roc_auc_score(holdout[TARGET], p):.4f}  log_loss {log_loss(holdout[TARGET], p):.4f}  "
          f"{len(holdout)} rows, {holdout[TARGET].mean():.1%} left")


if __name__ == "__main__":
    main()
