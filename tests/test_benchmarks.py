"""The benchmarks' own side runs: their peers are installed by hand only."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.skipif(sys.platform != "linux", reason="workers pin themselves to a core")
def test_a_worker_times_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pairing  # pyright: ignore[reportMissingImports]

    worker = pairing.Worker(sys.executable, "ours.py", "cql-discrete", 0)
    few, many = worker.seconds(2), worker.seconds(40)
    worker.close()
    assert 0.0 < few < many
    assert worker.process.returncode == 0
    assert pairing.spread([3.0, 4.0, 6.0], [1.0, 2.0, 2.0]) == {
        "ratio": 3.0,
        "quartile_low": 2.5,
        "quartile_high": 3.0,
        "pairs": 3,
    }
