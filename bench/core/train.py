"""Trains one scikit-learn model and saves it for both sides: argv[1]/model by MLflow, and
argv[1]/mlserver as MLServer wants it, whose ports are argv[2] and argv[3]."""

import json
import sys
from pathlib import Path

import joblib
import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

out = Path(sys.argv[1])
X, y = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
requirements = Path("python/requirements-test.txt").read_text().splitlines()
pins = [r for r in requirements if r.split("==")[0] in ("scikit-learn", "skops", "numpy", "scipy", "pandas")]
mlflow.sklearn.save_model(model, str(out / "model"), signature=infer_signature(X, model.predict(X)), pip_requirements=pins)

peer = out / "mlserver"
peer.mkdir()
joblib.dump(model, peer / "model.joblib")
(peer / "model-settings.json").write_text(json.dumps({
    "name": "bench",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib"},
    "max_batch_size": 64,
    "max_batch_time": 0.005,
}))
(peer / "settings.json").write_text(json.dumps({
    "host": "127.0.0.1",
    "http_port": int(sys.argv[2]),
    "grpc_port": int(sys.argv[3]),
    "metrics_port": int(sys.argv[4]),
    "parallel_workers": 0,
    "debug": False,
}))
