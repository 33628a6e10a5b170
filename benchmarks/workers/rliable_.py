"""rliable's answers on the scores of stdin: {"x": [[...]], "y": [[...]]} -> JSON."""

import json
import sys

import numpy as np
from rliable import library, metrics

scores = {name: np.asarray(table) for name, table in json.load(sys.stdin).items()}
answers = {}
for name in ("iqm", "mean"):
    statistic = {"iqm": metrics.aggregate_iqm, "mean": metrics.aggregate_mean}[name]
    points, intervals = library.get_interval_estimates(
        {"x": scores["x"]},
        lambda table, s=statistic: np.array([s(table)]),
        reps=50_000,
        random_state=np.random.RandomState(0),
    )
    answers[name] = [float(points["x"][0]), *map(float, intervals["x"][:, 0])]
points, intervals = library.get_interval_estimates(
    {"x,y": (scores["x"], scores["y"])},
    metrics.probability_of_improvement,
    reps=50_000,
    random_state=np.random.RandomState(0),
)
answers["probability_of_improvement"] = [float(points["x,y"]), *map(float, intervals["x,y"][:, 0])]
json.dump(answers, sys.stdout)
