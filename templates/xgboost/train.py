"""Train a card-fraud model and write everything that `platform deploy` needs.

    pip install -r requirements.txt
    python train.py

The data are SYNTHETIC: a seeded generator below draws card transactions and decides by
a formula, with noise, which of them are fraud. They describe no real cards, shops or
people; replace `transactions` by a query of your own data to make the model real.

Written: model/ (MLflow's format), golden.jsonl (rows with the library's own predictions,
which the platform replays before a release) and holdout.csv (labelled rows that the
platform scores the model on).
"""

import argparse
import json
import pathlib
import shutil
import tempfile
import warnings

import mlflow.xgboost
import numpy as np
import pandas as pd
import xgboost as xgb
from mlflow.models import infer_signature
from sklearn.metrics import average_precision_score, roc_auc_score

HERE = pathlib.Path(__file__).resolve().parent
TARGET = "fraud"
AMOUNT_LIMIT = 5000.0  # no row that is trained or tested on has a larger amount


def transactions(n, seed, amount_limit=AMOUNT_LIMIT):
    """Draw n synthetic card transactions with their label.

    Amounts above `amount_limit` are drawn again; give None for the full range, as live
    traffic has it. `merchant_risk` is unknown (missing) for about a tenth of the rows.
    """
    rng = np.random.default_rng(seed)
    usual = rng.lognormal(3.6, 0.6, n)  # what the card holder pays as a rule
    amount = usual * rng.lognormal(0.0, 0.9, n)
    large = rng.random(n) < 0.03
    amount[large] *= rng.uniform(5, 60, large.sum())
    if amount_limit is not None:
        while (over := amount > amount_limit).any():
            amount[over] = usual[over] * rng.lognormal(0.0, 0.9, over.sum())
    hour = np.where(rng.random(n) < 0.12, rng.integers(0, 6, n), rng.integers(6, 24, n))
    age_days = rng.integers(1, 3650, n)
    abroad = rng.random(n) < 0.10
    distance = np.where(abroad, rng.lognormal(6.5, 0.8, n), rng.lognormal(2.0, 1.1, n))
    present = rng.random(n) < 0.55
    count_1h = rng.poisson(np.where(rng.random(n) < 0.06, 3.5, 0.3))
    count_24h = count_1h + rng.poisson(2.2, n)
    declined_24h = rng.poisson(np.where(rng.random(n) < 0.05, 1.8, 0.08))
    merchant_risk = rng.beta(1.6, 9.0, n)
    frame = pd.DataFrame(
        {
            "amount": np.round(amount, 2),
            "amount_to_mean_ratio": np.round(amount / usual, 4),
            "mean_amount_90d": np.round(usual, 2),
            "hour": hour,
            "day_of_week": rng.integers(0, 7, n),
            "card_present": present.astype("int64"),
            "account_age_days": age_days,
            "distance_from_home_km": np.round(distance, 1),
            "is_abroad": abroad.astype("int64"),
            "transactions_1h": count_1h,
            "transactions_24h": count_24h,
            "declined_24h": declined_24h,
            "new_device": ((rng.random(n) < 0.15) & ~present).astype("int64"),
            "merchant_risk": np.round(merchant_risk, 4),
            "merchant_age_days": rng.integers(5, 5000, n),
            "minutes_since_last": np.round(rng.exponential(600, n), 1),
        }
    )
    logit = (
        -6.0
        + 1.1 * np.log(frame.amount_to_mean_ratio.clip(0.05))
        + 0.9 * np.log1p(frame.amount / 400)
        + 1.5 * frame.hour.between(0, 5)
        + 1.4 * frame.new_device
        + 0.8 * np.minimum(frame.transactions_1h, 5)
        + 1.1 * np.minimum(frame.declined_24h, 3)
        + 9.0 * frame.merchant_risk
        + 1.6 * frame.is_abroad * (1 - frame.card_present)
        + 0.9 * (frame.account_age_days < 60)
        + 1.2 * ((frame.minutes_since_last < 5) & (frame.card_present == 0))
        - 0.9 * frame.card_present
    )
    noise = rng.logistic(0, 0.55, n)
    frame[TARGET] = (logit + noise > 0).astype("int64")
    frame.loc[rng.random(n) < 0.1, "merchant_risk"] = np.nan
    ints = frame.select_dtypes("integer").columns
    return frame.astype({c: "int64" for c in ints})


def features(frame):
    return frame.drop(columns=TARGET)


def train(frame, trees=80, depth=5, noise=0.0):
    """Fit the classifier. Noise flips that share of the labels, to make a weaker model."""
    label = frame[TARGET].to_numpy().copy()
    flip = np.random.default_rng(99).random(len(label)) < noise
    label[flip] = 1 - label[flip]
    model = xgb.XGBClassifier(
        n_estimators=trees, max_depth=depth, learning_rate=0.12, subsample=0.9,
        colsample_bytree=0.9, min_child_weight=4, random_state=7, n_jobs=1,
    )
    return model.fit(features(frame), label)


def save(model, sample, path):
    """Write model/ in MLflow's format, without what differs from run to run."""
    requirements = (HERE / "requirements.txt").read_text().split()
    signature = infer_signature(features(sample), model.predict(features(sample)))
    with tempfile.TemporaryDirectory() as tmp:
        mlflow.xgboost.save_model(
            model, f"{tmp}/model", signature=signature, model_format="ubj",
            input_example=features(sample).dropna().head(3), pip_requirements=requirements,
        )
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(f"{tmp}/model", path)
    described = (path / "MLmodel").read_text().splitlines()
    described = [line for line in described if not line.startswith(("model_uuid:", "utc_time_created:"))]
    (path / "MLmodel").write_text("\n".join(described) + "\n")


def write_golden(model, rows, path):
    """Write rows with what the library itself answers for them."""
    table = features(rows)
    probability = model.predict_proba(table)[:, 1]
    with open(path, "w") as out:
        for (_, row), p, label in zip(table.iterrows(), probability, model.predict(table)):
            inputs = {}
            for name, value in row.items():
                if pd.isna(value):
                    inputs[name] = None
                else:
                    inputs[name] = int(value) if table[name].dtype == "int64" else float(value)
            outputs = {"predict": int(label), "probability": float(p)}
            out.write(json.dumps({"inputs": inputs, "outputs": outputs}) + "\n")


def golden_rows(frame, n=50):
    """A mix of rows: half of them fraud, some with a missing value."""
    fraud = frame[frame[TARGET] == 1].head(n // 2)
    return pd.concat([fraud, frame[frame[TARGET] == 0].head(n - len(fraud))])


def report(name, model, holdout):
    p = model.predict_proba(features(holdout))[:, 1]
    auc = roc_auc_score(holdout[TARGET], p)
    ap = average_precision_score(holdout[TARGET], p)
    print(f"{name}: roc_auc {auc:.4f}  average_precision {ap:.4f}  "
          f"{len(holdout)} rows, {holdout[TARGET].mean():.1%} fraud")


def write_project(folder, model, sample, golden, holdout):
    folder.mkdir(parents=True, exist_ok=True)
    save(model, sample, folder / "model")
    write_golden(model, golden, folder / "golden.jsonl")
    report(folder.name, model, holdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE, help="the folder to write to")
    parser.add_argument("--demo", type=pathlib.Path, help="also write the demo's v1 and v2 to this folder")
    args = parser.parse_args()
    # MLflow hints that integers cannot be missing: here they never are.
    warnings.filterwarnings("ignore", message="Hint: Inferred schema")

    data = transactions(20000, seed=1)
    holdout = transactions(1800, seed=2)
    golden = golden_rows(transactions(2000, seed=3))

    args.out.mkdir(parents=True, exist_ok=True)
    holdout.to_csv(args.out / "holdout.csv", index=False)
    good = train(data)
    write_project(args.out, good, data.head(50), golden, holdout)
    if args.demo:
        weak = train(data.head(1500), trees=12, depth=3, noise=0.05)
        write_project(args.demo / "v1", weak, data.head(50), golden, holdout)
        write_project(args.demo / "v2", good, data.head(50), golden, holdout)
        holdout.to_csv(args.demo / "holdout.csv", index=False)


if __name__ == "__main__":
    main()
