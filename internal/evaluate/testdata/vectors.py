"""Write vectors.json: targets, answers, and what scikit-learn's metrics say of them.

    pip install scikit-learn
    python vectors.py > vectors.json

In some cases many probabilities are equal.
"""

import json
import sys
import warnings

import numpy as np
import sklearn
from sklearn import metrics as m

warnings.simplefilter("ignore")
rng = np.random.default_rng(20)


def classify(name, y, predicted, probability, labels=None):
    """One case; probability has one column (of the greater class) or one for each class."""
    many = probability.ndim == 2 and probability.shape[1] > 2
    average = {"average": "macro"} if many or len(set(y) | set(predicted)) > 2 else {"average": "binary", "pos_label": max(set(y))}
    positive = probability if probability.ndim == 1 or many else probability[:, 1]
    auc = {"multi_class": "ovr", "average": "macro"} if many else {}
    want = {
        "accuracy": m.accuracy_score(y, predicted),
        "f1": m.f1_score(y, predicted, **average),
        "precision": m.precision_score(y, predicted, **average),
        "recall": m.recall_score(y, predicted, **average),
        "log_loss": m.log_loss(y, probability, labels=labels),
    }
    if not many or len(set(y)) == probability.shape[1]:
        want["roc_auc"] = m.roc_auc_score(y, positive, **auc)
    return {"name": name, "target": [str(v) for v in y], "predict": np.asarray(predicted).tolist(),
            "probability": probability.tolist(), "metrics": {k: float(v) for k, v in want.items()}}


def binary(name, n, digits, flip=lambda y: y):
    y = (rng.random(n) < 0.3).astype(int)
    p = np.clip(np.round(rng.beta(2, 5, n) + 0.35 * y * rng.random(n), digits), 0, 1)
    return classify(name, flip(y), flip((p > 0.4).astype(int)), p)


def many(name, n, k, names=None, only=None, ties=False):
    y = rng.choice(only or range(k), n)
    raw = rng.random((n, k)) + 0.7 * np.eye(k)[y]
    if ties:
        raw = np.ceil(2 * raw)
    p = raw / raw.sum(axis=1, keepdims=True)
    predicted = p.argmax(axis=1)
    labels = list(range(k))
    if names:
        y, predicted, labels = np.array(names)[y], np.array(names)[predicted], names
    return classify(name, y, predicted, p, labels)


def regress(name, y, predicted):
    want = {"rmse": m.root_mean_squared_error(y, predicted), "mae": m.mean_absolute_error(y, predicted), "r2": m.r2_score(y, predicted)}
    return {"name": name, "target": [repr(float(v)) for v in y], "predict": [float(v) for v in predicted],
            "metrics": {k: float(v) for k, v in want.items()}}


def main():
    noise = rng.normal(size=300)
    certain = np.array([0.0, 1.0, 1.0, 0.5, 0.25, 0.0])
    float32 = rng.random(200).astype("float32").astype("float64")
    y32 = (rng.random(200) < float32).astype(int)
    cases = [
        binary("binary", 400, 9),
        binary("binary, many ties", 400, 1),
        binary("binary, classes -1 and 1", 60, 3, lambda y: 2 * y - 1),
        binary("binary, named", 80, 2, lambda y: np.array(["good", "rogue"])[y]),
        binary("binary, true and false", 80, 2, lambda y: y.astype(bool)),
        classify("binary, sure and wrong", np.array([0, 1, 0, 1, 0, 1]), np.array([0, 1, 1, 0, 0, 0]), certain),
        classify("binary, nothing found", np.array([0, 1, 0, 1]), np.zeros(4, int), np.array([0.1, 0.2, 0.3, 0.4])),
        classify("binary, two columns", y32, (float32 > 0.5).astype(int), np.column_stack([1 - float32, float32])),
        classify("binary, float32", y32, (float32 > 0.5).astype(int), float32),
        many("four classes", 300, 4),
        many("three classes, many ties", 200, 3, ties=True),
        many("three named classes", 200, 3, ["ash", "birch", "oak"]),
        many("five classes, two in the target", 100, 5, only=[1, 3]),
        regress("regression", 3 * noise + 7, 3 * noise + 7 + rng.normal(size=300)),
        regress("regression, far from zero", 1e6 + noise, 1e6 + noise * 0.9),
        regress("regression, worse than the mean", noise, -noise),
        regress("regression, constant and right", np.full(5, 2.5), np.full(5, 2.5)),
        regress("regression, constant and wrong", np.full(5, 2.5), np.arange(5.0)),
    ]
    json.dump({"scikit-learn": sklearn.__version__, "cases": cases}, sys.stdout, indent=None, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
