"""What numbers a config may hold, so that a stranger's asks for no absurd memory."""

import itertools
import math
from typing import TYPE_CHECKING, Any

from lunar_offline.errors import UsageError

if TYPE_CHECKING:
    from lunar_offline.experiment.config import TrainConfig

MAX_LAYERS, MAX_WIDTH, MAX_WEIGHTS = 8, 4096, 1 << 24
HIDDEN_RULE = f"a list of 1 .. {MAX_LAYERS} integers in 1 .. {MAX_WIDTH}, of 16 million weights"

COUNT, SIZE, INF = 10**12, 10_000_000, math.inf
RANGES: dict[str, tuple[float, float]] = {
    "batch_size": (1, 65_536),
    "buffer_size": (1, SIZE),
    "pretrain_updates": (0, COUNT),
    "updates": (1, COUNT),
    "online_episodes": (0, SIZE),
    "anneal_episodes": (0, COUNT),
    "random_steps": (0, COUNT),
    "warmup_steps": (0, COUNT),
    "validate_every": (1, COUNT),
    "validation_episodes": (0, SIZE),
    "evaluation_episodes": (0, SIZE),
    "threads": (1, 1024),
    "utd_ratio": (0.0, 1024.0),
    "penalty_weight": (0.0, INF),
    "online_penalty_weight": (0.0, INF),
    "stop_return": (-INF, INF),
}
AGENT_RANGES: dict[str, tuple[float, float]] = {
    "n_critics": (1, 64),
    "n_proposals": (1, 1024),
    "learning_rate": (0.0, INF),
    "discount": (0.0, 1.0),
    "entropy_fraction": (0.0, 1.0),
    "max_grad_norm": (0.0, INF),
    "cloning_weight": (0.0, INF),
    "lagrange_threshold": (-INF, INF),
}


def plausible_hidden(hidden: Any) -> bool:
    """Return whether these are widths of hidden layers, and of no more weights than we read."""
    return (
        isinstance(hidden, list | tuple)
        and 1 <= len(hidden) <= MAX_LAYERS
        and all(type(width) is int and 1 <= width <= MAX_WIDTH for width in hidden)
        and sum(a * b for a, b in itertools.pairwise(hidden)) <= MAX_WEIGHTS
    )


def check_ranges(config: "TrainConfig") -> None:
    """Raise UsageError for a number that is out of its range, or not finite."""
    _check(config, RANGES, "")
    if config.buffer_size < config.batch_size:
        raise UsageError(f"buffer_size {config.buffer_size} is below {config.batch_size}, a batch")
    agent = config.agent
    _check(agent, AGENT_RANGES, "agent.")
    for name in ("tau", "policy_tau"):
        if not 0.0 < getattr(agent, name) <= 1.0:
            raise UsageError(f"agent.{name} {getattr(agent, name)} is outside (0, 1]")
    for name in ("penalty_temperature", "initial_temperature"):
        if not 0.0 < getattr(agent, name) < INF:
            raise UsageError(f"agent.{name} {getattr(agent, name)}: above 0, and finite")
    if agent.n_critics * sum(a * b for a, b in itertools.pairwise(agent.hidden)) > MAX_WEIGHTS * 4:
        raise UsageError(f"agent.n_critics {agent.n_critics}: too many of that agent.hidden")


def _check(values: Any, ranges: dict[str, tuple[float, float]], table: str) -> None:
    for name, (least, most) in ranges.items():
        value = getattr(values, name)
        if not (least <= value and -INF < value < INF):
            raise UsageError(f"{table}{name} {value!s:.20} is below {least}, or not finite")
        if value > most:
            raise UsageError(f"{table}{name} {value!s:.20} is above {most}")
