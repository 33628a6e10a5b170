"""The contents of the repository's datasets/ folder: recipes, cards, behavior policies."""

import tomllib
from pathlib import Path

from lunar_offline.errors import LunarOfflineError


def package_data() -> Path:
    """Return the folder: in the package if installed from a wheel, otherwise in the checkout.

    Raises:
        LunarOfflineError: neither folder exists.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_datasets", package.parent / "datasets"):
        if (folder / "policies").is_dir():
            return folder
    raise LunarOfflineError("the bundled policies are missing; reinstall lunar-offline")


def shipped_recipes() -> dict[str, Path]:
    """Return the paths of the recipes in the package, by each of their ids."""
    found: dict[str, Path] = {}
    for path in sorted((package_data() / "recipes").glob("*.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        found |= dict.fromkeys([values["dataset"], *values.get("also", [])], path)
    return found
