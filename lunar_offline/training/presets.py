"""The presets: values for the options of a run, for each kind of run."""

from typing import Any

from lunar_offline.agents.registry import find_algorithm
from lunar_offline.errors import UsageError
from lunar_offline.options import PRESETS, RunKind, did_you_mean, preset_values
from lunar_offline.training.config import TrainConfig


def run_preset(preset: str, algorithm: str, kind: RunKind) -> dict[str, Any]:
    """Return the values of a preset for one kind of run; config files and options override them.

    `best` holds the tuned values of this project. `paper` holds those of section 2.8 of the paper,
    with the gradient clip of the critics and the random first steps of its code. Two bugs of that
    code are not reproduced: the data term, and a discrete target entropy that no policy can reach
    (here it is 0.3 ln 4).

    Args:
        preset: `best` or `paper`.
        algorithm: name of the algorithm.
        kind: the kind of run.

    Raises:
        UsageError: there is no such preset or algorithm.
    """
    if preset not in PRESETS:
        hint = did_you_mean(preset, PRESETS)
        raise UsageError(f"preset {preset!r:.80} is not one of {', '.join(PRESETS)}{hint}")
    return {
        "preset": preset,
        "discrete": kind.discrete,
        "rho": kind.rho,
        **preset_values(TrainConfig, preset, kind),
        "agent": preset_values(find_algorithm(algorithm).config, preset, kind),
    }
