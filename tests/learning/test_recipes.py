"""Every shipped recipe gives the bytes that it states (on the platform that it names)."""

from pathlib import Path

import pytest

from lunar_offline.collection.collect import make_dataset
from lunar_offline.collection.recipe import read_recipe, shipped_recipes
from lunar_offline.storage.provenance import platform_line


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(set(shipped_recipes().values())), ids=lambda p: p.stem)
def test_a_shipped_recipe_gives_its_bytes(path: Path) -> None:
    recipe = read_recipe(path)
    if recipe.platform != platform_line():
        pytest.skip(f"its bytes are promised on {recipe.platform}")
    assert recipe.sha256
    made = make_dataset(recipe, workers=2)
    assert not made.existed
