"""Alarms that stop a run which cannot get better any more."""

import math
from collections.abc import Mapping

from lunar_offline.envs import EnvInfo
from lunar_offline.errors import DivergedError

MAX_Q = 5_000.0
MAX_TEMPERATURE = 100.0
REMEDY = "lower agent.learning_rate, keep agent.layer_norm, or raise --penalty-weight"


def check_health(line: Mapping[str, float], env: EnvInfo) -> None:
    """Stop a run whose critics or temperature have left all bounds.

    Raises:
        DivergedError: a metric is not finite, ``q_mean` is beyond any return of the lander, or the
            temperature beyond any reward.
    """
    step = int(line["update_step"])
    check_finite(line, step)
    if env.is_lander and abs(line.get("q_mean", 0.0)) > MAX_Q:
        raise DivergedError(
            f"the critics diverged at update {step}: q_mean is {line['q_mean']:.0f}, and no return "
            f"is beyond {MAX_Q:.0f}; {REMEDY}"
        )
    if line.get("temperature", 0.0) > MAX_TEMPERATURE:
        raise DivergedError(
            f"the temperature exploded at update {step}, to {line['temperature']:.0f}: the policy "
            "cannot reach its target entropy; lower agent.entropy_fraction or agent.learning_rate"
        )


def check_finite(metrics: Mapping[str, float], update_step: int) -> None:
    """Raise DivergedError for a metric that is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise DivergedError(f"diverged at update {update_step}: {name} is {value}; {REMEDY}")
