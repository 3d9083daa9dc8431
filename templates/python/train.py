"""Fit what scorer.py needs to tell odd meter readings, and write what `platform deploy` needs.

    pip install -r requirements.txt
    python train.py

The data are SYNTHETIC: a seeded generator below draws readings of electricity meters and
spoils some of them as clerks and clocks do. They describe no real customers; replace
`readings` by a query of your own data to make the model real.

Written: model/ (MLflow's format, with scorer.py and its parameters in it), golden.jsonl
(rows with the model's own answers, which the platform replays before a release) and
holdout.csv (labelled rows that the platform scores the model on). Every draw is seeded: to
train again writes the same bytes.
"""

import argparse
import json
import pathlib
import shutil
import tempfile
import types

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from sklearn.metrics import precision_score, recall_score

from scorer import SPREAD, Scorer, daily

HERE = pathlib.Path(__file__).resolve().parent
TARGET = "wrong"
PRECISION = 0.9  # so many of the readings that are held back must be wrong

INPUTS = Schema(
    [
        ColSpec("string", "kind"),
        ColSpec("long", "month"),
        ColSpec("long", "days"),
        ColSpec("double", "usage_kwh"),
        ColSpec("double", "usage_before_kwh", required=False),  # unknown for a new customer
    ]
)
OUTPUTS = Schema([ColSpec("long", "predict"), ColSpec("double", "score"), ColSpec("string", "reason")])


def readings(n, seed):
    """Draw n synthetic readings with their label. `usage_before_kwh` is unknown (missing) for
    about a tenth of them."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["home", "shop", "workshop"], n, p=[0.7, 0.2, 0.1])
    month = rng.integers(1, 13, n)
    days = rng.integers(27, 35, n)
    size = np.log(pd.Series(kind).map({"home": 8.0, "shop": 30.0, "workshop": 90.0}).to_numpy())
    own = size + 0.25 * np.cos(2 * np.pi * (month - 1) / 12) + rng.normal(0, 0.45, n)
    usage = np.exp(own + rng.normal(0, 0.12, n)) * days
    before = np.exp(own + rng.normal(0, 0.12, n)) * 30
    fault = rng.random(n)
    usage[fault < 0.02] *= 10  # a digit too many
    usage[(fault >= 0.02) & (fault < 0.04)] /= 10  # and one too few
    usage[(fault >= 0.04) & (fault < 0.05)] = 0  # the meter stands still
    usage[(fault >= 0.05) & (fault < 0.06)] *= -1  # two readings swapped
    before[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "kind": kind,
            "month": month,
            "days": days,
            "usage_kwh": np.round(usage, 1),
            "usage_before_kwh": np.round(before, 1),
            TARGET: (fault < 0.06).astype("int64"),
        }
    )


def features(frame):
    return frame[INPUTS.input_names()]


def robust(values):
    """Median and spread, which a few wrong readings do not move."""
    median = values.median()
    return [round(float(median), 6), round(float(SPREAD * (values - median).abs().median()), 6)]


def train(frame):
    """Fit the parameters of a Scorer."""
    log = daily(frame)
    usual = {f"{kind} {month}": robust(log[rows]) for (kind, month), rows in frame.groupby(["kind", "month"]).groups.items()}
    usual["any"] = robust(log)
    known = (frame["usage_kwh"] > 0) & (frame["usage_before_kwh"] > 0)
    change = robust(np.log(frame["usage_kwh"][known] / frame["usage_before_kwh"][known]))[1]
    parameters = {"usual": usual, "change": change, "threshold": 0.0, "worst": 100.0}
    score = scorer(parameters).predict(None, features(frame))["score"]
    # The lowest threshold above which enough readings are wrong: it finds the most of them.
    for threshold in np.arange(1.0, 20.0, 0.1):
        if frame[TARGET][score > threshold].mean() >= PRECISION:
            return {**parameters, "threshold": round(float(threshold), 1)}
    raise SystemExit("the scores do not tell wrong readings from right ones")


def scorer(parameters):
    """A model with parameters that are not in a file."""
    model = Scorer()
    with tempfile.TemporaryDirectory() as tmp:
        path = pathlib.Path(tmp, "parameters.json")
        path.write_text(json.dumps(parameters))
        model.load_context(types.SimpleNamespace(artifacts={"parameters": str(path)}))
    return model


def save(parameters, sample, path):
    """Write model/ in MLflow's format, without what differs from run to run."""
    # Model code asks for what it imports, and for no more: what training needs is not served.
    lines = (HERE / "requirements.txt").read_text().split()
    requirements = [line for line in lines if not line.startswith("scikit-learn")]
    with tempfile.TemporaryDirectory() as tmp:
        file = pathlib.Path(tmp, "parameters.json")
        file.write_text(json.dumps(parameters, indent=1, sort_keys=True) + "\n")
        mlflow.pyfunc.save_model(
            f"{tmp}/model", python_model=str(HERE / "scorer.py"), artifacts={"parameters": str(file)},
            signature=ModelSignature(INPUTS, OUTPUTS), input_example=features(sample).dropna().head(3),
            pip_requirements=requirements,
        )
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(f"{tmp}/model", path)
    # The paths of this machine go, too; the file lies beside MLmodel.
    described = (path / "MLmodel").read_text().replace(f"{HERE}/", "").splitlines()
    gone = ("model_uuid:", "utc_time_created:", "uri:")
    described = [line for line in described if not line.lstrip().startswith(gone)]
    (path / "MLmodel").write_text("\n".join(described) + "\n")


def plain(value):
    """A value as JSON has it; what is missing is null."""
    value = value.item() if hasattr(value, "item") else value
    return None if pd.isna(value) else value


def write_golden(model, rows, path):
    """Write rows with what the model answers for them here."""
    table = features(rows)
    answers = model.predict(None, table).to_dict("records")
    with open(path, "w") as out:
        for row, answer in zip(table.to_dict("records"), answers):
            inputs = {name: plain(value) for name, value in row.items()}
            out.write(json.dumps({"inputs": inputs, "outputs": {k: plain(v) for k, v in answer.items()}}) + "\n")


def golden_rows(frame, n=40):
    """A mix of rows: half of them wrong, one of a new customer, and one of a kind of customer
    that training never saw."""
    wrong = frame[frame[TARGET] == 1].head(n // 2)
    rows = pd.concat([wrong, frame[frame[TARGET] == 0].head(n - len(wrong))], ignore_index=True)
    rows.loc[n - 1, "usage_before_kwh"] = np.nan
    rows.loc[n - 2, "kind"] = "farm"
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE, help="the folder to write to")
    out = parser.parse_args().out
    data, holdout = readings(20000, seed=1), readings(3000, seed=2)
    parameters = train(data)
    out.mkdir(parents=True, exist_ok=True)
    holdout.to_csv(out / "holdout.csv", index=False)
    save(parameters, data.head(50), out / "model")
    model = scorer(parameters)
    write_golden(model, golden_rows(readings(1000, seed=3)), out / "golden.jsonl")
    answer = model.predict(None, features(holdout))["predict"]
    print(f"precision {precision_score(holdout[TARGET], answer):.3f}  recall {recall_score(holdout[TARGET], answer):.3f}  "
          f"{len(holdout)} rows, {holdout[TARGET].mean():.1%} wrong")


if __name__ == "__main__":
    main()
