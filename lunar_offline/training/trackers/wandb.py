"""Weights & Biases."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from lunar_offline.training.trackers.protocol import PROJECT, TrackedRun
from lunar_offline.training.trackers.scalars import Point


class WeightsAndBiases:
    """A run of Weights & Biases; see `Adapter`.

    W&B keeps one row per step and drops what comes for an earlier step, so the step is the number
    of the point; the figures are over update steps.
    """

    def __init__(self, run: TrackedRun) -> None:
        wandb: Any = import_module("wandb")
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,  # it would upload the changes of the folder that the user works in
            disable_code=True,
            x_stats_pid=os.getppid(),  # the training
        )
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=run.run_id or None,
            resume="allow",
            dir=os.environ.get("WANDB_DIR", run.folder),
            config=dict(run.config),
            settings=settings,
        )
        self.run_id = self._run.id
        self._run.define_metric("*", step_metric="update_step")

    def log(self, points: Sequence[Point]) -> None:
        """See Adapter."""
        for point in points:
            self._run.log(point.values | {"update_step": point.update_step}, step=point.number)

    def close(self, *, finished: bool) -> None:
        """See Adapter."""
        self._run.finish(exit_code=0 if finished else 1)


connect = WeightsAndBiases
