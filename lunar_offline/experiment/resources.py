"""The contents of the repository's datasets/ folder: recipes, cards, behaviour policies."""

from pathlib import Path

import lunar_offline
from lunar_offline.errors import LunarOfflineError


def resources() -> Path:
    """Return the folder: inside the package when installed from a wheel, else the checkout's.

    Raises:
        LunarOfflineError: neither is there.
    """
    package = Path(lunar_offline.__file__).parent
    for folder in (package / "_datasets", package.parent / "datasets"):
        if (folder / "policies").is_dir():
            return folder
    raise LunarOfflineError("the bundled policies are missing; install lunar-offline again")
