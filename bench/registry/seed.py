"""Fill a database of `mlflow server` by its own tables: over HTTP that would take an hour."""

import sys
import time

from mlflow.store.db.utils import create_sqlalchemy_engine
from mlflow.store.model_registry.dbmodels import models as registry
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.dbmodels import models as tracking
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

uri, runs, models = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = Tracking(uri, "mlflow-artifacts:/")
Registry(uri)
experiment = store.create_experiment("bench")
now = int(time.time() * 1000)

ids = [f"{i:032x}" for i in range(runs)]
tables = {
    tracking.SqlRun: [
        {"run_uuid": r, "name": f"run-{i}", "experiment_id": int(experiment), "user_id": "bench", "status": "FINISHED", "start_time": now + i,
         "end_time": now + i + 1, "lifecycle_stage": "active", "artifact_uri": f"mlflow-artifacts:/{experiment}/{r}/artifacts"}
        for i, r in enumerate(ids)
    ],
    tracking.SqlMetric: [
        {"run_uuid": r, "key": k, "value": (i * 7919 + j) % 1000 / 1000, "timestamp": now, "step": 0, "is_nan": False}
        for i, r in enumerate(ids) for j, k in enumerate(("auc", "loss", "f1"))
    ],
    tracking.SqlParam: [
        {"run_uuid": r, "key": k, "value": v} for i, r in enumerate(ids) for k, v in (("model", f"m{i % 10}"), ("depth", str(i % 7)), ("lr", "0.1"))
    ],
    tracking.SqlTag: [
        {"run_uuid": r, "key": k, "value": v}
        for i, r in enumerate(ids) for k, v in (("mlflow.runName", f"run-{i}"), ("mlflow.user", "bench"), ("cost", str(i % 5)))
    ],
    registry.SqlRegisteredModel: [{"name": f"model-{i:04}", "creation_time": now, "last_updated_time": now + i} for i in range(models)],
    registry.SqlRegisteredModelTag: [{"name": f"model-{i:04}", "key": "group", "value": f"g{i % 20}"} for i in range(models)],
    registry.SqlModelVersion: [
        {"name": f"model-{i:04}", "version": 1, "creation_time": now, "last_updated_time": now, "source": "s3://bucket/model", "status": "READY",
         "storage_location": "s3://bucket/model", "current_stage": "None"}
        for i in range(models)
    ],
    registry.SqlRegisteredModelAlias: [{"name": f"model-{i:04}", "alias": "champion", "version": 1} for i in range(models)],
}  # fmt: skip
tables[tracking.SqlLatestMetric] = tables[tracking.SqlMetric]
with create_sqlalchemy_engine(uri).begin() as connection:
    for model, rows in tables.items():
        for i in range(0, len(rows), 10_000):
            connection.execute(model.__table__.insert(), rows[i : i + 10_000])
print(experiment)
