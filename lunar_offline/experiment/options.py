"""Options that exclude each other."""

from collections.abc import Mapping
from typing import Any

from lunar_offline.errors import UsageError
from lunar_offline.experiment.config import TrainConfig

OFFLINE_HAS_NO = ("pretrain_updates", "online_episodes", "online_penalty_weight", "stop_return")


def check_exclusive(options: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that another one takes the meaning from.

    Args:
        options: of the command line.
        given: those, and the config file's.
    """

    def refuse(name: str, other: str, why: str) -> None:
        if name in options:
            shown = name.replace("_", "-")
            raise UsageError(f"--{shown} and --{other} exclude each other: {why}")

    rho, algorithm = given.get("rho", TrainConfig.rho), given.get("algorithm")
    if rho == 1.0:
        for name in OFFLINE_HAS_NO:
            refuse(name, "rho 1", "it makes no env; --updates says how many")
    else:
        refuse("updates", f"rho {rho}", "updates follow env steps; --pretrain-updates come before")
    for name in ("penalty_weight", "online_penalty_weight"):
        if algorithm in ("sac", "bc"):
            refuse(name, f"algorithm {algorithm}", "it has no penalty")
        if given.get("penalty") == "none":
            refuse(name, "penalty none", "there is nothing to weigh")
