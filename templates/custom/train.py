"""Fit the delivery times that server.py answers, and write what `platform deploy` needs.

    python train.py

The data are SYNTHETIC: a seeded generator below draws deliveries. They describe no real
ones; replace `deliveries` by a query of your own data to make the model real.

Written: model/ (server.py, the parameters that it reads, and MLmodel, which says what the
model takes and gives), golden.jsonl (rows with the model's answers, which the platform
replays before a release) and holdout.csv (labelled rows that the platform scores the model
on). Every draw is seeded: to train again writes the same bytes. Nothing but Python's
standard library is needed.
"""

import argparse
import csv
import json
import pathlib
import random
import shutil

from server import INPUTS, VEHICLES, Model

HERE = pathlib.Path(__file__).resolve().parent
TARGET = "minutes"

# What MLmodel says of the columns, in MLflow's words.
TYPES = {"BYTES": "string", "FP64": "double", "INT64": "long", "BOOL": "boolean"}


def deliveries(n, seed):
    """Draw n synthetic deliveries as rows of the inputs and the minutes they took."""
    rng = random.Random(seed)
    pace = {"bike": (4.0, 3.6, 2.5, 0.3), "car": (9.0, 1.9, 4.0, 1.4), "van": (12.0, 2.1, 5.5, 1.6)}
    rows = []
    for _ in range(n):
        vehicle = rng.choices(VEHICLES, [4, 3, 3])[0]
        distance = round(min(rng.lognormvariate(1.4, 0.7), 40.0), 2)
        stops = min(int(rng.expovariate(0.5)), 12)
        rush = rng.random() < 0.3
        minutes = dot(pace[vehicle], Model.terms(distance, stops, rush))
        minutes *= rng.lognormvariate(0, 0.12)
        rows.append({"vehicle": vehicle, "distance_km": distance, "stops": stops, "rush_hour": rush, TARGET: round(minutes, 1)})
    return rows


def dot(u, v):
    return sum(x * y for x, y in zip(u, v))


def solve(a, b):
    """x of a·x = b by Gaussian elimination with pivots; a is square."""
    rows = [[*line, right] for line, right in zip(a, b)]
    n = len(rows)
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(n):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def train(rows):
    """Fit the weights of each vehicle by least squares (the normal equations)."""
    weights = {}
    for vehicle in VEHICLES:
        terms, minutes = [], []
        for row in rows:
            if row["vehicle"] == vehicle:
                terms.append(Model.terms(row["distance_km"], row["stops"], row["rush_hour"]))
                minutes.append(row[TARGET])
        columns = list(zip(*terms))
        gram = [[dot(u, v) for v in columns] for u in columns]
        weights[vehicle] = [round(w, 6) for w in solve(gram, [dot(u, minutes) for u in columns])]
    return weights


def answer(model, row):
    return model.minutes(*(row[name] for name in INPUTS))


def inputs(row):
    return {name: row[name] for name in INPUTS}


def save(weights, sample, path):
    """Write model/: the server, its parameters, and what the platform must know of both."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    shutil.copy(HERE / "server.py", path)
    (path / "parameters.json").write_text(json.dumps(weights, indent=1) + "\n")
    (path / "input_example.json").write_text(json.dumps({"dataframe_records": [inputs(row) for row in sample]}) + "\n")
    takes = [{"name": name, "type": TYPES[kind], "required": True} for name, kind in INPUTS.items()]
    gives = [{"name": "predict", "type": "double", "required": True}]
    # JSON is YAML, too. The flavor's name is free: the command in platform.yaml serves it.
    about = {
        "flavors": {"delivery_server": {"parameters": "parameters.json"}},
        "saved_input_example_info": {"artifact_path": "input_example.json", "type": "dataframe"},
        "signature": {"inputs": json.dumps(takes), "outputs": json.dumps(gives)},
    }
    (path / "MLmodel").write_text(json.dumps(about, indent=1) + "\n")


def write_golden(model, rows, path):
    with open(path, "w") as out:
        for row in rows:
            out.write(json.dumps({"inputs": inputs(row), "outputs": {"predict": answer(model, row)}}) + "\n")


def write_holdout(rows, path):
    with open(path, "w", newline="") as out:
        table = csv.DictWriter(out, [*INPUTS, TARGET], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def scores(model, rows):
    """Mean absolute error in minutes, and R²."""
    mean = sum(row[TARGET] for row in rows) / len(rows)
    off = [row[TARGET] - answer(model, row) for row in rows]
    around = sum((row[TARGET] - mean) ** 2 for row in rows)
    return sum(map(abs, off)) / len(rows), 1 - sum(d * d for d in off) / around


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE, help="the folder to write to")
    out = parser.parse_args().out
    weights = train(deliveries(5000, seed=1))
    holdout = deliveries(1500, seed=2)
    model = Model(weights)
    out.mkdir(parents=True, exist_ok=True)
    save(weights, holdout[:3], out / "model")
    write_golden(model, deliveries(40, seed=3), out / "golden.jsonl")
    write_holdout(holdout, out / "holdout.csv")
    mae, r2 = scores(model, holdout)
    print(f"mae {mae:.2f} minutes  r2 {r2:.3f}  {len(holdout)} rows")


if __name__ == "__main__":
    main()
