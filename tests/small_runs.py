"""Training runs of seconds, for tests."""

from pathlib import Path
from typing import Any

from lunar_offline.training.loop import Training
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.start_or_resume import start

SMALL = {
    "pretrain_updates": 20,
    "updates": 30,
    "online_episodes": 3,
    "warmup_steps": 50,
    "validate_every": 2,
    "validation_episodes": 2,
    "evaluation_episodes": 3,
    "batch_size": 32,
    "utd_ratio": 0.25,
    "agent": {"hidden": [16, 16]},
}

TINY: dict[str, Any] = {
    "rho": 0.0,
    "pretrain_updates": 0,
    "online_episodes": 1,
    "random_steps": 50,
    "warmup_steps": 50,
    "validate_every": 1,
    "validation_episodes": 1,
    "evaluation_episodes": 2,
    "batch_size": 8,
    "buffer_size": 64,
    "utd_ratio": 0.2,
    "agent": {"hidden": [8]},
}


def begin(out: Path, trackers: tuple[str, ...] | None = None, **options) -> Training:
    """Make a run directory and return its training; rho is 0.6 unless it is given."""
    config = resolve(
        discrete=options.pop("discrete", None), file=SMALL, options={"rho": 0.6} | options
    )
    return start(config, out, trackers=trackers)


def policy_bytes(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in ("policy.safetensors", "last.safetensors")]
