"""Minari's root folder of local datasets, and this project's folder in it."""

import os
from pathlib import Path

# A folder next to the datasets, for journals, caches, transfers and the envs that the user named.
FOLDER = ".lunar-offline"


def datasets_root() -> Path:
    """Return Minari's root folder of local datasets as an absolute path.

    It is $MINARI_DATASETS_PATH, or ~/.minari/datasets if that is not set.
    """
    configured = os.environ.get("MINARI_DATASETS_PATH")
    return Path(configured).absolute() if configured else Path.home() / ".minari" / "datasets"
