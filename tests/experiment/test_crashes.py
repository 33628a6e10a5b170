"""Training stops at any moment, by any cause, and goes on with the same bits."""

import os
from pathlib import Path

from crash_loops import rounds


def test_killed_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    wanted = int(os.environ.get("KILLS", "10"))
    told = list(rounds(tmp_path, "kill_trainings", wanted))
    assert sum(sum(said["kills"].values()) for said in told) >= wanted
    assert sum(said["identical"] for said in told) == len(told)


def test_a_full_disk_is_one_line_and_resumes(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: no file can be longer."""
    limits = (300, 700, 1_200, 3_000, 20_000)
    told = list(rounds(tmp_path, "fill_disk_of_training", *limits))
    assert len(told) == len(limits)
    for limit, code, said, began in told:
        assert code == 1, said
        error = said.splitlines()[-1]
        assert error.startswith("lunar-offline: full") or ".unfinished/" in error
        assert "File too large" in error
        assert "Traceback" not in said
        assert began == (limit > 700)
        assert ("continue with: lunar-offline train --resume full" in error) == began


def test_a_signal_says_how_to_go_on(tmp_path: Path) -> None:
    told = list(rounds(tmp_path, "signal_training"))
    assert len(told) == 6
    for out, code, said in told:
        assert code == (130 if out.startswith("SIGINT") else 143), said
        assert said.count(f"continue with: lunar-offline train --resume {out}") == 1
        assert "Traceback" not in said
