"""Checks that stop a diverged run, which cannot recover."""

import math
from collections.abc import Mapping

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import DivergedError

MAX_TEMPERATURE = 100.0
REMEDY = "lower agent.learning_rate, keep agent.layer_norm, or raise --penalty-weight"


def check_divergence(metrics: Mapping[str, float], update_step: int, env: EnvInfo) -> None:
    """Raise an error if the critics or the temperature have diverged.

    Args:
        metrics: means by name.
        update_step: number of updates, for the message.
        env: bounds the returns.

    Raises:
        DivergedError: a metric is not finite, `q_mean` exceeds every return of the env, or the
            temperature exceeds 100.
    """
    check_finite(metrics, update_step)
    q_mean, limit = metrics.get("q_mean", 0.0), env.max_value
    if limit is not None and abs(q_mean) > limit:
        raise DivergedError(
            f"the critics diverged at update {update_step}: q_mean is {q_mean:.0f}, but no return "
            f"exceeds {limit:.0f}; {REMEDY}"
        )
    if metrics.get("temperature", 0.0) > MAX_TEMPERATURE:
        raise DivergedError(
            f"the temperature diverged at update {update_step}, to {metrics['temperature']:.0f}: "
            "the policy cannot reach its target entropy; lower agent.entropy_fraction or "
            "agent.learning_rate"
        )


def check_finite(metrics: Mapping[str, float], update_step: int) -> None:
    """Raise DivergedError if a metric is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise DivergedError(f"diverged at update {update_step}: {name} is {value}; {REMEDY}")
