"""Random damage: with a manifest nothing passes silently, and nothing ever breaks this process."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hostile_datasets import manifest_file, metadata_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.metadata import FORMATS, MAX_STEPS, read_metadata
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import RefusedError
from lunar_offline.storage.datasets_root import datasets_root

ROOT = Path(__file__).parents[3]
GUARDED = int(os.environ.get("MUTATIONS", "1000"))
UNGUARDED = int(os.environ.get("MUTATIONS_WITHOUT_MANIFEST", "1000"))


@pytest.fixture
def folder(good_datasets: dict[str, Path]) -> Path:
    """A dataset with its manifest."""
    return shutil.copytree(good_datasets["manifest"], datasets_root() / "bad-v0")


@pytest.fixture
def mutations(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that does this at length; see docs/results/mutations.json."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import mutations  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(mutations, "DATASET", "bad-v0")
    return mutations


def test_a_manifest_lets_no_change_pass(folder: Path, mutations: Any) -> None:
    counts = mutations.run(folder, GUARDED, guarded=True)
    assert sum(counts.values()) == GUARDED
    for name, _, outcome in counts:
        # a cache is made again, and of a manifest not every byte matters
        if name == "manifest.json":
            assert outcome in ("refused", "same data")
        else:
            assert outcome == ("same data" if name == "flat cache" else "refused")


def test_damage_without_a_manifest_breaks_nothing_here(folder: Path, mutations: Any) -> None:
    counts = mutations.run(folder, UNGUARDED, guarded=False)
    assert sum(counts.values()) == UNGUARDED
    found = mutations.outcomes(counts)
    assert found.keys() <= {"refused", "refused: reader ended", "same data", "other data"}
    assert found["refused"] > UNGUARDED // 4
    assert manifest_file(folder).is_file()


def test_the_published_counts() -> None:
    told = json.loads((ROOT / "docs" / "results" / "mutations.json").read_text())
    assert told["with_manifest"]["mutations"] >= 50_000
    assert told["with_manifest"]["outcomes"].keys() == {"refused", "same data"}
    assert told["without_manifest"]["mutations"] >= 1_500
    outcomes = told["without_manifest"]["outcomes"]
    assert outcomes.keys() <= {"refused", "refused: reader ended", "same data", "other data"}


def test_a_mutation_changes_something_and_comes_again(mutations: Any) -> None:
    content, kinds = bytes(range(256)) * 4, set()
    for index in range(200):
        kind, damaged = mutations.mutate(content, np.random.default_rng(index))
        assert mutations.mutate(content, np.random.default_rng(index)) == (kind, damaged)
        assert damaged != content
        kinds.add(kind)
    assert kinds == set(mutations.KINDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
KEYS = (
    "total_episodes",
    "total_steps",
    "data_format",
    "observation_space",
    "action_space",
    "env_spec",
    "eval_env_spec",
    "dataset_id",
    "description",
)
Found = TypeVar("Found")


def _unless_refused(read: Callable[[], Found]) -> Found | None:
    try:
        return read()
    except RefusedError as error:
        message = str(error)
    assert message.isprintable()
    assert str(datasets_root() / "bad-v0") in message
    return None


IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@IN_ONE_FOLDER
@given(data=st.data())
def test_metadata_of_any_json(
    good_datasets: dict[str, Path], folder: Path, data: st.DataObject
) -> None:
    good = json.loads(metadata_file(good_datasets["manifest"]).read_bytes())
    values = dict(good)
    for key in data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)):
        value = data.draw(JSON)
        if key.endswith(("space", "spec")) and data.draw(st.booleans()):
            inner = json.loads(good[key])
            name = data.draw(st.sampled_from(sorted(inner)) | st.text(max_size=5))
            value = json.dumps(inner | {name: value})
        values[key] = value
    metadata_file(folder).write_text(json.dumps(values))
    metadata = _unless_refused(lambda: read_metadata(datasets_root() / "bad-v0", "bad-v0"))
    if metadata is None:
        return
    assert metadata.env is find_env(discrete=True)
    assert metadata.format in FORMATS
    for count in (metadata.episodes, metadata.steps):
        assert type(count) is int
        assert 1 <= count <= MAX_STEPS


@IN_ONE_FOLDER
@given(manifest=JSON | st.fixed_dictionaries({"files": JSON}), data=st.data())
def test_a_manifest_of_any_json(
    good_datasets: dict[str, Path], folder: Path, manifest: Any, data: st.DataObject
) -> None:
    good = json.loads(manifest_file(good_datasets["manifest"]).read_bytes())
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(good["files"])) | st.text(max_size=9))
        manifest = good | {"files": good["files"] | {name: data.draw(JSON)}}
    manifest_file(folder).write_text(json.dumps(manifest))
    dataset = _unless_refused(lambda: read_dataset("bad-v0"))
    if dataset is None:
        return
    assert dataset.sha256 == good["files"]["data/main_data.hdf5"]["sha256"]
    assert manifest["files"].keys() >= {"data/main_data.hdf5", "data/metadata.json"}
