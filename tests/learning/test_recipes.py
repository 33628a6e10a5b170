"""Every shipped recipe gives the bytes that it says (on the platform that it names)."""

import pytest

from lunar_offline.experiment.provenance import platform_line
from lunar_offline.experiment.recipe import read_recipe, shipped_recipes
from lunar_offline.experiment.remake import remake


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(set(shipped_recipes().values())), ids=lambda p: p.stem)
def test_a_shipped_recipe_gives_its_bytes(path) -> None:
    recipe = read_recipe(path)
    if recipe.platform != platform_line():
        pytest.skip(f"its bytes are promised on {recipe.platform}")
    assert recipe.sha256
    remake(recipe, workers=2)
