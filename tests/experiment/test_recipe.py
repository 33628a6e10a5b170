"""Recipes: what they say, what they refuse, and that the same bytes come of them."""

from pathlib import Path

import pytest

from lunar_offline.data.ids import dataset_path
from lunar_offline.data.manifest import read_manifest
from lunar_offline.data.reader import read_dataset
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.collection import collect_dataset, follow
from lunar_offline.experiment.recipe import (
    Recipe,
    Source,
    find_recipe,
    from_options,
    read_recipe,
    shipped_recipes,
)

MIXED = """
dataset = "box2d/mixed-v0"
also = ["lunar-mixed-v0"]
discrete = true
seed = 4

[[sources]]
policy = "random"
episodes = 3

[[sources]]
policy = "expert"
episodes = 2
"""


def write(text: str) -> Path:
    path = Path("recipe.toml")
    path.write_text(text)
    return path


def test_a_recipe_of_two_policies() -> None:
    recipe = read_recipe(write(MIXED))
    assert recipe.sources == (Source("random", 3), Source("expert", 2))
    collected = follow(recipe)
    assert collected.episodes == 5
    dataset = read_dataset("box2d/mixed-v0")
    returns = dataset.episode_returns()
    assert returns[:3].max() < 100.0 < returns[3:].min()
    # each part is what a recipe of it alone would have flown
    collect_dataset("lunar-random-v0", policy="random", discrete=True, episodes=3, seed=4)
    assert dataset.seeds[:3] == read_dataset("lunar-random-v0").seeds
    assert (returns[:3] == read_dataset("lunar-random-v0").episode_returns()).all()
    manifest = read_manifest(dataset_path("box2d/mixed-v0"))
    assert manifest is not None
    assert [s["episodes"] for s in manifest["recipe"]["sources"]] == [3, 2]
    assert follow(recipe).was_there


def test_other_bytes_than_the_recipes_are_refused() -> None:
    text = MIXED.replace("seed = 4", f'seed = 4\nsha256 = "{"0" * 64}"\nplatform = "an abacus"')
    recipe = read_recipe(write(text))
    with pytest.raises(RefusedError, match=r"its recipe says 0{64} \(on an abacus; here is linux"):
        follow(recipe)
    assert not dataset_path("box2d/mixed-v0").exists()
    assert follow(recipe, other_bytes=True).episodes == 5  # from the journal
    with pytest.raises(RefusedError, match="--other-bytes takes it"):
        follow(recipe)
    honest = read_recipe(write(text.replace("0" * 64, read_dataset("box2d/mixed-v0").sha256)))
    assert follow(honest).was_there


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("seed", "sed"), r"unknown key 'sed'; did you mean 'seed'\?"),
        (("episodes = 3", "episode = 3"), r"\[\[sources\]\]: unknown key 'episode'"),
        (("episodes = 3", "episodes = 0"), "episodes 0: at least one"),
        (("episodes = 3", "episodes = 3.5"), "episodes is not of type int"),
        (("seed = 4", "seed = -1"), "seed -1"),
        (('dataset = "box2d/mixed-v0"', ""), "has no dataset"),
        (("box2d/mixed-v0", "../x-v0"), "is no dataset id"),
        (("lunar-mixed-v0", "lunar-mixed"), "has no version"),
        (("[[sources]]", "[sources]"), "recipe.toml"),
        (('policy = "random"', 'policy = "rndom"'), "no policy 'rndom'"),
    ],
)
def test_a_recipe_that_cannot_be_meant(change: tuple[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        follow(read_recipe(write(MIXED.replace(*change))))


def test_a_recipe_without_episodes_or_training() -> None:
    with pytest.raises(UsageError, match=r"either \[\[sources\]\] or \[train\]"):
        Recipe("x-v0")


def test_another_policy_file_than_the_recipes() -> None:
    recipe = Recipe("x-v0", sources=(Source("expert", 1, "ab" * 32),))
    with pytest.raises(RefusedError, match=r"policy 'expert' has sha256 .*, the recipe says abab"):
        follow(recipe)


def test_policies_of_both_action_spaces_do_not_mix() -> None:
    files = [
        str(Path(__file__).parents[2] / f"datasets/policies/expert-{name}.safetensors")
        for name in ("discrete", "continuous")
    ]
    with pytest.raises(UsageError, match="fly different action spaces"):
        follow(Recipe("x-v0", sources=tuple(Source(file, 1) for file in files)))


def test_recipes_are_found_by_id_and_by_path() -> None:
    for name, path in shipped_recipes().items():
        recipe = find_recipe(name)
        assert recipe == read_recipe(path)
        assert name in (recipe.dataset, *recipe.also)
        asked = from_options(
            name, dataset=None, policy=None, discrete=None, episodes=None, seed=None
        )
        assert asked.dataset == name
    with pytest.raises(UsageError, match=r"no recipe 'lunar-x-v0': give a .toml file, or "):
        find_recipe("lunar-x-v0")
    with pytest.raises(UsageError, match=r"missing\.toml: no such file"):
        find_recipe("missing.toml")


def test_a_recipe_takes_no_other_word_of_what_it_says() -> None:
    path = str(write(MIXED))
    with pytest.raises(UsageError, match="says the seed already; leave --seed out"):
        from_options(path, dataset=None, policy=None, discrete=None, episodes=None, seed=3)
    other = from_options(path, dataset="y-v0", policy=None, discrete=None, episodes=None, seed=None)
    assert other.dataset == "y-v0"
