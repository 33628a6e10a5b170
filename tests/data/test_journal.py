"""Journals: what was acknowledged is there, whatever happened since."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lunar_offline.data.ids import datasets_root
from lunar_offline.data.journal import FOLDER, open_journal
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.collection import collect_dataset

COLLECT = "collect --policy random --dataset lunar-random-v0 --episodes".split()


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


def test_a_damaged_record_is_dropped_and_said(random_episodes) -> None:
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
    with pytest.raises(RefusedError, match="begun with another recipe"), open_journal("x-v0", {}):
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
        assert 0 < len(slowly) < made.steps or workers == 1  # some were flown elsewhere
        found.append(sha256s("lunar-random-v0"))
    assert found[0] == found[1] == found[2]
    assert {"manifest.json", "README.md", "data/main_data.hdf5"} < set(found[0])


def test_the_same_recipe_is_there_already_and_another_is_refused() -> None:
    first = collect_dataset("lunar-random-v0", policy="random", episodes=3)
    before = sha256s("lunar-random-v0")
    again = collect_dataset("lunar-random-v0", policy="random", episodes=3)
    assert again.was_there
    assert not first.was_there
    assert again.mean_return == pytest.approx(first.mean_return)
    assert sha256s("lunar-random-v0") == before
    for other in ({"episodes": 4}, {"episodes": 3, "seed": 1}):
        with pytest.raises(RefusedError, match="next free version is lunar-random-v1"):
            collect_dataset("lunar-random-v0", policy="random", **other)
    with pytest.raises(UsageError, match="--workers 0"):
        collect_dataset("lunar-random-v2", policy="random", episodes=3, workers=0)


def begin(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lunar_offline_cli", *COLLECT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a shell's background job ignores Ctrl-C, and so would what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def recorded() -> set[str]:
    folder = datasets_root() / FOLDER / "lunar-random-v0" / "episodes"
    return {path.name for path in folder.glob("[0-9]*")}


def wait_for(n: int, process: "subprocess.Popen[str]") -> None:
    while len(recorded()) < n and process.poll() is None:
        time.sleep(0.002)


# Forks of a process that has imported everything: a start costs nothing, the code is the real one.
KILLER = """
import os, random, signal, sys, time
from lunar_offline_cli.app import main
import lunar_offline.experiment.collection

folder, kills = sys.argv[1], int(sys.argv[2])
sys.argv = ["lunar-offline", *sys.argv[3:]]
choose, kept = random.Random(0), set()

def recorded():
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return {name for name in names if not name.startswith(".")}

for kill in range(kills):
    child = os.fork()
    if not child:
        main()
    wanted = len(kept) + 1 + choose.randrange(30)
    while len(recorded()) < wanted:
        time.sleep(0.001)
    time.sleep(choose.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    assert kept <= recorded(), "an acknowledged episode is lost"
    kept = recorded()
main()
"""


def test_killed_collections_lose_no_acknowledged_episode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    episodes = "700"
    script = tmp_path / "killer.py"
    script.write_text(KILLER)
    folder = datasets_root() / FOLDER / "lunar-random-v0" / "episodes"
    done = subprocess.run(
        [sys.executable, script, folder, os.environ.get("KILLS", "20"), *COLLECT, episodes],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    interrupted = sha256s("lunar-random-v0")
    assert not recorded()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "whole"))
    collect_dataset("lunar-random-v0", policy="random", episodes=int(episodes))
    assert sha256s("lunar-random-v0") == interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_has_landed_and_says_how_to_go_on(number: int, code: int) -> None:
    with begin("2000") as process:
        wait_for(5, process)
        process.send_signal(number)
        said, _ = process.communicate()
    assert process.returncode == code
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert len(recorded()) >= 5
    assert not (datasets_root() / "lunar-random-v0").exists()


def test_a_full_disk_is_one_line_and_resumes(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: the dataset's one file does not fit."""
    script = tmp_path / "limited.py"
    script.write_text(
        "import resource, signal, sys\n"
        "from lunar_offline_cli.app import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        f"sys.argv = ['lunar-offline', *{COLLECT}, '40']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert len(recorded()) == 40
    assert not (datasets_root() / "lunar-random-v0").exists()
    with begin("40") as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert (datasets_root() / "lunar-random-v0").is_dir()
