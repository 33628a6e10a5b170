"""The trackers by name, and the choice of the user."""

import importlib.util
import os
from collections.abc import Iterable

from lunar_offline.errors import UsageError

TENSORBOARD, NONE = "tensorboard", "none"
DEFAULT = (TENSORBOARD,)
# the modules that an adapter needs; the extra has the adapter's name
ADAPTERS = {
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
}
TRACKERS = (TENSORBOARD, *ADAPTERS)
CHOICES = (*TRACKERS, NONE)
# trackio refuses the version of Pillow in constraints.txt
UNPINNED = ("trackio",)


def parse_trackers(values: Iterable[str]) -> tuple[str, ...]:
    """Return the trackers that the user named, each once.

    Args:
        values: names, or lists of names that are separated by commas; `none` cannot be combined.

    Raises:
        UsageError: a name is unknown, or `none` is not alone.
    """
    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        if name not in CHOICES:
            raise UsageError(f"--tracker {name!r:.40} is not one of {', '.join(CHOICES)}")
    if NONE in names and set(names) != {NONE}:
        raise UsageError("--tracker none cannot be combined with another tracker")
    return tuple(dict.fromkeys(name for name in names if name != NONE))


def check_installed(names: Iterable[str]) -> None:
    """Raise UsageError, with the command that installs it, if a tracker's extra is missing."""
    for name in names:
        modules = ADAPTERS.get(name, ())
        if name == "mlflow" and os.environ.get("MLFLOW_TRACKING_URI"):
            modules = ("mlflow",)  # the others are for the local store
        if not all(_exists(module) for module in modules):
            pins = "" if name in UNPINNED else " -c constraints.txt"
            raise UsageError(
                f"--tracker {name} needs an extra: pip install 'lunar-offline[{name}]'{pins}"
            )


def _exists(module: str) -> bool:
    try:
        spec = importlib.util.find_spec(module)
    except ValueError:  # a module without a spec
        return False
    # a folder named wandb, as W&B makes it, has no origin
    return spec is not None and spec.origin is not None
