"""The model: rules, and statistics that train.py has fitted. MLflow copies this file into
model/ and runs it there when the model is loaded."""

import json
import pathlib

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd

SPREAD = 1.4826  # makes of a median absolute deviation the standard deviation of a normal law


def daily(frame):
    """The logarithm of the usage a day, NaN where there is none."""
    rate = frame["usage_kwh"] / frame["days"].where(frame["days"] > 0)
    return np.log(rate.where(rate > 0))


class Scorer(mlflow.pyfunc.PythonModel):
    """Tells which meter readings a person should look at, and why.

    A rule names what cannot be. Any other reading gets a score: by how many deviations its
    usage a day lies off the median of its kind of customer in that month, and off the
    customer's own usage before, where that is known; the smaller of the two counts.
    """

    def load_context(self, context):
        self.parameters = json.loads(pathlib.Path(context.artifacts["parameters"]).read_text())

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        frame, p = model_input, self.parameters
        usual = [p["usual"].get(f"{kind} {month}", p["usual"]["any"]) for kind, month in zip(frame["kind"], frame["month"])]
        median, spread = np.array(usual, dtype=float).T
        log = daily(frame)
        off = (log - median) / spread
        before = np.log(frame["usage_before_kwh"].where(frame["usage_before_kwh"] > 0))
        change = (np.log(frame["usage_kwh"].where(frame["usage_kwh"] > 0)) - before) / p["change"]
        score = np.fmin(off.abs(), change.abs())  # of a missing one the other

        reason = np.where(off > 0, "usage far above what is usual", "usage far below what is usual").astype(object)
        reason[(score <= p["threshold"]).to_numpy()] = ""
        for name, broken in {
            "usage is not above zero": frame["usage_kwh"] <= 0,
            "period is not above zero": frame["days"] <= 0,
            "month is none": ~frame["month"].between(1, 12),
        }.items():
            reason[broken.to_numpy()] = name
            score[broken] = p["worst"]
        score = score.clip(upper=p["worst"])
        return pd.DataFrame({"predict": (reason != "").astype("int64"), "score": score.to_numpy(float), "reason": reason})


mlflow.models.set_model(Scorer())
