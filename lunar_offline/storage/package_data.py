"""The contents of the repository's datasets/ folder: recipes, cards, behavior policies."""

from pathlib import Path

import lunar_offline
from lunar_offline.errors import LunarOfflineError


def package_data() -> Path:
    """Return the folder: in the package if installed from a wheel, otherwise in the checkout.

    Raises:
        LunarOfflineError: neither folder exists.
    """
    package = Path(lunar_offline.__file__).parent
    for folder in (package / "_datasets", package.parent / "datasets"):
        if (folder / "policies").is_dir():
            return folder
    raise LunarOfflineError("the bundled policies are missing; install lunar-offline again")
