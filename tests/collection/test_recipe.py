"""Recipes: what they say, what they refuse, and that the same bytes come of them."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lunar_offline.collection.assignments import resolve_policies
from lunar_offline.collection.collect import collect_dataset, make_dataset
from lunar_offline.collection.recipe import (
    Recipe,
    Source,
    find_recipe,
    from_options,
    read_recipe,
    shipped_recipes,
)
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.ids import dataset_path
from lunar_offline.datasets.manifest import read_manifest
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.training.config import TrainConfig

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
    collected = make_dataset(recipe)
    assert collected.statistics.episodes == 5
    dataset = read_dataset("box2d/mixed-v0")
    returns = dataset.episode_returns()
    assert returns[:3].max() < 100.0 < returns[3:].min()
    # each part is what a recipe of it alone would have recorded
    collect_dataset("lunar-random-v0", policy="random", discrete=True, episodes=3, seed=4)
    assert dataset.seeds[:3] == read_dataset("lunar-random-v0").seeds
    assert (returns[:3] == read_dataset("lunar-random-v0").episode_returns()).all()
    manifest = read_manifest(dataset_path("box2d/mixed-v0"))
    assert manifest is not None
    assert [s["episodes"] for s in manifest["recipe"]["sources"]] == [3, 2]
    assert make_dataset(recipe).existed


def test_other_bytes_than_the_recipes_are_refused() -> None:
    text = MIXED.replace("seed = 4", f'seed = 4\nsha256 = "{"0" * 64}"\nplatform = "an abacus"')
    recipe = read_recipe(write(text))
    with pytest.raises(RefusedError, match=r"its recipe gives 0{64} \(on an abacus; here is linux"):
        make_dataset(recipe)
    assert not dataset_path("box2d/mixed-v0").exists()
    assert make_dataset(recipe, other_bytes=True).statistics.episodes == 5  # from the journal
    with pytest.raises(RefusedError, match="--other-bytes accepts the data anyway"):
        make_dataset(recipe)
    honest = read_recipe(write(text.replace("0" * 64, read_dataset("box2d/mixed-v0").sha256)))
    assert make_dataset(honest).existed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("seed", "sed"), r"unknown key 'sed'; did you mean 'seed'\?"),
        (("episodes = 3", "episode = 3"), r"\[\[sources\]\]: unknown key 'episode'"),
        (("episodes = 3", "episodes = 0"), "episodes 0: at least one"),
        (("episodes = 3", "episodes = 3.5"), "episodes is not of type int"),
        (
            ("episodes = 3", f"episodes = {10**30}"),
            "episodes 1000.*: at least one, at most 10000000",
        ),
        (("episodes = 3", "episodes = 9_999_999"), "episodes: at most 10000000 in total"),
        (("episodes = 3", 'policy_sha256 = "ABC"'), "policy_sha256 is not 64 hexadecimal digits"),
        (("seed = 4", 'sha256 = "x"'), "sha256 is not 64 hexadecimal digits"),
        (("discrete = true", "discrete = 1"), "discrete is not true or false: 1"),
        (('["lunar-mixed-v0"]', "5"), "also is not a list of ids: 5"),
        (('["lunar-mixed-v0"]', '"lunar-mixed-v0"'), "also is not a list of ids: 'lunar"),
        (('["lunar-mixed-v0"]', "[1979-05-27]"), r"also is not a list of ids: \[datetime"),
        (("discrete = true", "train = 5"), "train is not a table: 5"),
        (("discrete = true", "train = {rho = 0.0}"), r"either \[\[sources\]\] or \[train\]"),
        (("seed = 4", "seed = -1"), "seed -1"),
        (('dataset = "box2d/mixed-v0"', ""), "has no dataset"),
        (("box2d/mixed-v0", "../x-v0"), "is not a dataset id"),
        (("lunar-mixed-v0", "lunar-mixed"), "has no version"),
        (("[[sources]]", "[sources]"), r"recipe\.toml: "),
        (('policy = "random"', 'policy = "rndom"'), "no policy 'rndom'"),
    ],
)
def test_a_recipe_that_cannot_be_meant(change: tuple[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make_dataset(read_recipe(write(MIXED.replace(*change))))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train.rhoo = 0.6", r"recipe\.toml: \[train\]: unknown key 'rhoo'; did you mean 'rho'"),
        ("train.agent.tua = 0.6", r"\[train\] \[agent\]: unknown key 'tua'; did you mean 'tau'"),
        ("train.rho = 1.5", r"recipe\.toml: rho 1\.5 is above 1\.0"),
        ("seed = 4\ntrain.rho = 0.0", r"seed of a training run belong in \[train\]"),
        ("discrete = true\ntrain.rho = 0.0", r"seed of a training run belong in \[train\]"),
    ],
)
def test_a_training_run_that_cannot_be_meant(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_recipe(write(f'dataset = "x-v0"\n{text}'))


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=20),
        st.dates(),
        st.sampled_from(["random", "expert", "../x", "x-v0", "box2d/y-v1", "ab" * 32]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def _changed(cls: type, good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A good table, with values of any kind under some of its keys, or others."""
    keys = st.sampled_from([field.name for field in fields(cls)])
    unknown = st.sampled_from(["sed"]) | st.text(max_size=5)
    some = st.dictionaries(keys, VALUES, max_size=2) | st.dictionaries(unknown, VALUES, max_size=1)
    return some.map(lambda values: good | values)


RANDOM = {"policy": "random", "episodes": 3}
SOURCES = st.lists(st.just(RANDOM) | _changed(Source, RANDOM), min_size=1, max_size=2)
TRAIN = _changed(TrainConfig, {"rho": 0.0, "pretrain_updates": 0})
RECIPES = st.builds(
    lambda body, values: body | values,
    SOURCES.map(lambda tables: {"sources": tables}) | TRAIN.map(lambda table: {"train": table}),
    _changed(Recipe, {"dataset": "x-v0"}),
)


def _as_toml(recipe: Recipe) -> bytes:
    values = {key: value for key, value in asdict(recipe).items() if value not in (None, {}, ())}
    return tomli_w.dumps(values).encode()


def _read_or_refused(content: bytes) -> Recipe | str:
    """Read a recipe; a refusal must name what is wrong in one line, and nothing be written."""
    path = Path("recipe.toml")
    path.write_bytes(content)
    try:
        found: Recipe | str = read_recipe(path)
        if found.sources:
            resolve_policies(found)
    except (UsageError, RefusedError) as error:
        found = str(error)
        assert found
        assert "\n" not in found
    assert [p.name for p in Path.cwd().iterdir()] == ["recipe.toml"]
    return found


IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@IN_ONE_FOLDER
@given(RECIPES)
def test_a_recipe_of_any_values_round_trips_or_is_refused(values: dict[str, Any]) -> None:
    try:
        content = tomli_w.dumps(values).encode()
    except UnicodeEncodeError:  # half a character, which no TOML holds
        return
    found = _read_or_refused(content)
    unknown = values.keys() - {field.name for field in fields(Recipe)}
    if unknown:
        assert isinstance(found, str)
        assert any(f"recipe.toml: unknown key {key!r:.80}" in found for key in unknown)
    if isinstance(found, Recipe):
        assert _read_or_refused(_as_toml(found)) == found


@IN_ONE_FOLDER
@given(st.data())
def test_a_recipe_of_any_text_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(MIXED.encode())
    words = st.sampled_from([b"=", b"[", b"]]", b"{", b'"', b"\n", b".", b"#", b"'''", b"1e400"])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 9))
        content[at : at + gone] = data.draw(words | st.binary(max_size=6))
    found = _read_or_refused(bytes(content))
    if isinstance(found, Recipe):
        assert _read_or_refused(_as_toml(found)) == found


def test_a_recipe_without_episodes_or_training() -> None:
    with pytest.raises(UsageError, match=r"either \[\[sources\]\] or \[train\]"):
        Recipe("x-v0")


def test_another_policy_file_than_the_recipes() -> None:
    recipe = Recipe("x-v0", sources=(Source("expert", 1, "ab" * 32),))
    with pytest.raises(RefusedError, match=r"policy 'expert' has sha256 .*, the recipe gives abab"):
        make_dataset(recipe)


def test_policies_of_both_action_spaces_do_not_mix() -> None:
    files = [
        str(Path(__file__).parents[2] / f"datasets/policies/expert-{name}.safetensors")
        for name in ("discrete", "continuous")
    ]
    with pytest.raises(UsageError, match="have different envs or action spaces"):
        make_dataset(Recipe("x-v0", sources=tuple(Source(file, 1) for file in files)))


def test_the_default_id_belongs_to_the_shipped_recipe_alone() -> None:
    given = dict.fromkeys(("dataset", "policy", "discrete", "episodes", "seed"))
    shipped = from_options(None, **given)
    assert shipped.dataset == "lunar-sac-v0"
    for same in ({"episodes": 800}, {"policy": "expert"}, {"discrete": True}, {"seed": 0}):
        assert from_options(None, **given | same).dataset == "lunar-sac-v0"
    assert from_options(None, **given, env="LunarLander-v3").dataset == "lunar-sac-v0"
    for other in (
        *({"episodes": 60}, {"policy": "random"}, {"discrete": False}, {"seed": 1}),
        *({"env": "CartPole-v1"}, {"env_kwargs": {"enable_wind": True}}),
    ):
        with pytest.raises(UsageError, match="name the dataset: --dataset ID"):
            from_options(None, **given | other)
        assert from_options(None, **given | other | {"dataset": "x-v0"}).dataset == "x-v0"
    with pytest.raises(UsageError, match="'' is not a dataset id"):
        from_options(None, **given | {"dataset": ""})


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
    with pytest.raises(UsageError, match="already sets what --seed sets; leave out --seed"):
        from_options(path, dataset=None, policy=None, discrete=None, episodes=None, seed=3)
    other = from_options(path, dataset="y-v0", policy=None, discrete=None, episodes=None, seed=None)
    assert other.dataset == "y-v0"
