"""Training stops at any moment, by any cause, and continues with the same bits."""

import os
from pathlib import Path

from crash_loops import rounds


def test_killed_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    wanted = int(os.environ.get("KILLS", "10"))
    reported = list(rounds(tmp_path, "kill_trainings", wanted))
    assert sum(sum(round_["kills"].values()) for round_ in reported) >= wanted
    assert sum(round_["identical"] for round_ in reported) == len(reported)


def test_a_full_disk_is_one_line_and_resumes(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: no file can be longer."""
    limits = (300, 700, 1_200, 3_000, 20_000)
    reported = list(rounds(tmp_path, "fill_disk_of_training", *limits))
    assert len(reported) == len(limits)
    for limit, code, output, began in reported:
        assert code == 1, output
        error = output.splitlines()[-1]
        assert error.startswith("lunar-offline: full") or ".unfinished/" in error
        assert "File too large" in error
        assert "Traceback" not in output
        assert began == (limit > 700)
        assert ("continue with: lunar-offline train --resume full" in error) == began


def test_a_signal_prints_how_to_continue(tmp_path: Path) -> None:
    reported = list(rounds(tmp_path, "signal_training"))
    assert len(reported) == 6
    for out, code, output in reported:
        assert code == (130 if out.startswith("SIGINT") else 143), output
        assert output.count(f"continue with: lunar-offline train --resume {out}") == 1
        assert "Traceback" not in output
