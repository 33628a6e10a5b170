"""Journals: what was acknowledged is stored, whatever happened since."""

import hashlib
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from crash_loops import rounds

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.journal import open_journal
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import datasets_root


def test_an_episode_comes_back_as_it_was(random_episodes) -> None:
    for discrete, episodes in random_episodes.items():
        with open_journal(f"x-v{int(discrete)}", {"a": 1}) as journal:
            for index, episode in enumerate(episodes):
                journal.append(index, episode)
        with open_journal(f"x-v{int(discrete)}", {"a": 1}) as journal:
            assert len(journal) == len(episodes)
            for episode, back in zip(episodes, journal.episodes(len(episodes)), strict=True):
                assert back.seed == episode.seed
                for name in "observations actions rewards terminations truncations".split():
                    assert getattr(back, name).dtype == getattr(episode, name).dtype
                    assert np.array_equal(getattr(back, name), getattr(episode, name))


def test_a_damaged_record_is_dropped_and_reported(random_episodes) -> None:
    with open_journal("x-v0", {}) as journal:
        for index, episode in enumerate(random_episodes[True]):
            journal.append(index, episode)
        folder = journal.path / "episodes"
    whole = (folder / "00000001").read_bytes()
    (folder / "00000001").write_bytes(whole[:-1])
    (folder / "00000003").write_bytes(whole[:50] + b"x" + whole[51:])
    (folder / ".00000009.1.tmp").write_bytes(b"half")
    with open_journal("x-v0", {}) as journal:
        assert journal.damaged == ["00000001", "00000003"]
        assert [index in journal for index in range(5)] == [True, False, True, False, True]
        assert sorted(path.name for path in folder.iterdir()) == [
            "00000000",
            "00000002",
            "00000004",
        ]


def test_a_second_writer_stops_at_once() -> None:
    with (
        open_journal("x-v0", {}),
        pytest.raises(RefusedError, match="being recorded by another process"),
        open_journal("x-v0", {}),
    ):
        pass


def test_another_recipe_is_not_continued() -> None:
    with open_journal("x-v0", {"seed": 0}):
        pass
    with pytest.raises(RefusedError, match="started with another recipe"), open_journal("x-v0", {}):
        pass


def sha256s(dataset_id: str) -> dict[str, str]:
    folder = datasets_root() / dataset_id
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_workers_and_interruptions_leave_no_trace_in_the_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, slowly: list[int]
) -> None:
    found = []
    for workers in (1, 2, 4):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / f"w{workers}"))
        slowly.clear()
        made = collect_dataset("lunar-random-v0", policy="random", episodes=240, workers=workers)
        assert 0 < len(slowly) < made.statistics.steps or workers == 1  # some ran elsewhere
        found.append(sha256s("lunar-random-v0"))
    assert found[0] == found[1] == found[2]
    assert {"manifest.json", "README.md", "data/main_data.hdf5"} < set(found[0])


def test_the_same_recipe_exists_already_and_another_is_refused() -> None:
    first = collect_dataset("lunar-random-v0", policy="random", episodes=3)
    before = sha256s("lunar-random-v0")
    again = collect_dataset("lunar-random-v0", policy="random", episodes=3)
    assert again.existed
    assert not first.existed
    assert again.statistics.returns.mean == pytest.approx(first.statistics.returns.mean)
    assert sha256s("lunar-random-v0") == before
    for other in ({"episodes": 4}, {"episodes": 3, "seed": 1}):
        with pytest.raises(RefusedError, match="next free version is lunar-random-v1"):
            collect_dataset("lunar-random-v0", policy="random", **other)
    with pytest.raises(UsageError, match="--workers 0"):
        collect_dataset("lunar-random-v2", policy="random", episodes=3, workers=0)


def test_killed_collections_lose_no_acknowledged_episode(tmp_path: Path) -> None:
    wanted = int(os.environ.get("KILLS", "20"))
    told = list(rounds(tmp_path, "kill_collections", wanted))
    assert sum(sum(said["kills"].values()) for said in told) == wanted
    assert sum(said["identical"] for said in told) == len(told) > 1
    assert not any(said["lost"] for said in told)


def test_a_killed_publication_is_whole_or_absent(tmp_path: Path) -> None:
    assert len(list(rounds(tmp_path, "kill_publications"))) == 18


def test_a_killed_export_is_whole_or_absent(tmp_path: Path) -> None:
    assert len(list(rounds(tmp_path, "kill_exports"))) == 12


def test_a_signal_keeps_what_is_recorded_and_prints_how_to_continue(tmp_path: Path) -> None:
    told = list(rounds(tmp_path, "signal_collection"))
    assert len(told) == 6
    for number, landed, code, said, recorded in told:
        assert code == (130 if number == signal.SIGINT else 143), said
        assert "run the same command to continue" in said
        assert "Traceback" not in said
        assert recorded >= landed


def test_a_full_disk_is_one_line_and_resumes(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: no file can be longer."""
    limits = (300, 1_500, 6_000, 30_000, 100_000)
    told = list(rounds(tmp_path, "fill_disk_of_collection", *limits))
    assert len(told) == len(limits)
    for limit, code, said, recorded in told:
        assert code == 1, said
        assert said.splitlines()[-1].startswith("lunar-offline: File too large: ")
        assert "Traceback" not in said
        # some episodes are longer than the first limits, the dataset longer than all of them
        assert recorded == 20 if limit > 20_000 else recorded < 20


def test_the_second_of_two_writers_stops_at_once(tmp_path: Path) -> None:
    told = list(rounds(tmp_path, "second_writers"))
    assert len(told) == 5
    for code, said in told:
        assert code == 3
        assert (
            said == "lunar-offline: dataset lunar-random-v0 is being recorded by another process\n"
        )
