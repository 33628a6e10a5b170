"""Deletion: all of a dataset or nothing, and never one that is being recorded."""

import shutil
from pathlib import Path

import pytest

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets import delete
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.delete import delete_dataset, plan_deletion
from lunar_offline.datasets.ids import local_ids
from lunar_offline.datasets.journal import open_journal
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root


def left() -> list[str]:
    return sorted(str(p.relative_to(datasets_root())) for p in datasets_root().rglob("*"))


def test_nothing_of_a_dataset_is_left(random_dataset: str) -> None:
    collect_dataset("other-v0", policy="random", episodes=1, seed=9)
    kept = read_dataset("other-v0").cache
    before = left()
    read_dataset(random_dataset)
    planned = plan_deletion(random_dataset)
    assert planned.cache is not None
    assert planned.bytes > planned.cache.stat().st_size
    delete_dataset(planned)
    gone = [name for name in before if name.split("/")[0] == random_dataset]
    assert left() == [name for name in before if name not in gone]
    assert kept.is_file()
    assert local_ids() == ["other-v0"]
    collect_dataset(random_dataset, policy="random", episodes=2)  # the id is free again


def test_a_recorded_dataset_is_refused(random_dataset: str) -> None:
    planned = plan_deletion(random_dataset)
    with open_journal(random_dataset, {}), pytest.raises(RefusedError, match="being recorded"):
        delete_dataset(planned)
    assert local_ids() == [random_dataset]


def test_an_unfinished_recording_is_deleted(random_episodes) -> None:
    with open_journal("x-v0", {}) as journal:
        journal.append(0, random_episodes[True][0])
    planned = plan_deletion("x-v0")
    assert planned.path is None
    assert planned.recording
    delete_dataset(planned)
    assert not (datasets_root() / FOLDER / "x-v0").exists()
    with pytest.raises(UsageError, match="no dataset x-v0"):
        plan_deletion("x-v0")


def test_a_crash_leaves_no_half_of_it(random_dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_, **__) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delete.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_dataset(plan_deletion(random_dataset))
    assert local_ids() == []  # gone at once, though its files are still stored
    assert any(delete.PREFIX in name for name in left())
    collect_dataset("y-v0", policy="random", episodes=1)
    delete_dataset(plan_deletion("y-v0"))
    assert not any(delete.PREFIX in name for name in left())


def test_what_is_no_dataset_is_refused(random_dataset: str, tmp_path: Path) -> None:
    root = datasets_root()
    (root / "empty-v0").mkdir()
    (root / "link-v0").symlink_to(root / random_dataset)
    for name in ("empty-v0", "link-v0"):
        with pytest.raises(RefusedError):
            plan_deletion(name)
    with pytest.raises(UsageError, match="is not a dataset id"):
        plan_deletion("../x-v0")
    damaged = root / "damaged-v0"
    shutil.copytree(root / random_dataset, damaged)
    (damaged / "data" / "metadata.json").write_text("{")
    delete_dataset(plan_deletion("damaged-v0"))
    assert not damaged.exists()
