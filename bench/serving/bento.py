"""The peer BentoML: a service with one model of XGBoost, the way its documentation shows."""

import os

import bentoml
import numpy as np
import xgboost as xgb


@bentoml.service(workers=os.cpu_count(), metrics={"enabled": False})
class Bench:
    def __init__(self):
        self.model = xgb.Booster(model_file=os.environ["BENCH_MODEL"])
        self.model.set_param("nthread", 1)

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.inplace_predict(rows)
