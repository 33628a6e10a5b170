"""Checks that stop a diverged run, which cannot recover."""

import math
from collections.abc import Mapping

from lunar_offline.agents.learner import Algorithm
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import DivergedError, LunarOfflineError
from lunar_offline.options import options_of

MAX_TEMPERATURE = 100.0
REMEDIES = {
    "learning_rate": "lower agent.learning_rate",
    "layer_norm": "keep agent.layer_norm",
    "penalty_weight": "raise --penalty-weight",
}


def check_divergence(
    metrics: Mapping[str, float], update_step: int, env: EnvInfo, algorithm: Algorithm
) -> None:
    """Raise an error if the critics or the temperature have diverged.

    Args:
        metrics: means by name.
        update_step: number of updates, for the message.
        env: bounds the returns.
        algorithm: the algorithm that the metrics come from.

    Raises:
        DivergedError: a metric is not finite, `q_mean` exceeds every return of the env, or the
            temperature of an entropy bonus exceeds 100.
        LunarOfflineError: see `check_finite`.
    """
    check_finite(metrics, update_step, algorithm)
    q_mean, limit = metrics.get("q_mean", 0.0), env.max_value
    if limit is not None and abs(q_mean) > limit:
        raise DivergedError(
            f"the critics diverged at update {update_step}: q_mean is {q_mean:.0f}, but no return "
            f"exceeds {limit:.0f}; {_remedy(algorithm)}"
        )
    has_target = "entropy_fraction" in options_of(algorithm.config)
    if has_target and metrics.get("temperature", 0.0) > MAX_TEMPERATURE:
        raise DivergedError(
            f"the temperature diverged at update {update_step}, to {metrics['temperature']:.0f}: "
            "the policy cannot reach its target entropy; lower agent.entropy_fraction or "
            "agent.learning_rate"
        )


def check_finite(metrics: Mapping[str, float], update_step: int, algorithm: Algorithm) -> None:
    """Check metrics before they are stored.

    Raises:
        DivergedError: a metric is not finite.
        LunarOfflineError: the algorithm does not explain a metric, so its name was never checked.
    """
    for name, value in metrics.items():
        if name not in algorithm.metrics:
            raise LunarOfflineError(
                f"algorithm {algorithm.name} returns the metric {name!r:.50}, which its `metrics` "
                "do not explain"
            )
        if not math.isfinite(value):
            raise DivergedError(
                f"diverged at update {update_step}: {name} is {value}; {_remedy(algorithm)}"
            )


def _remedy(algorithm: Algorithm) -> str:
    options = options_of(algorithm.config)
    *others, last = [remedy for name, remedy in REMEDIES.items() if name in options]
    return f"{', '.join(others)}, or {last}" if others else last
