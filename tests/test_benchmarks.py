"""The benchmarks' own side runs: their peers are installed by hand only."""

import json
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


def test_kills_add_up_and_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import kills  # pyright: ignore[reportMissingImports]

    about, out = {"command": "x", "commit": "abc", "versions": {"torch": "2"}}, tmp_path / "k.json"
    result = kills.begun(out, about)
    assert result["collect"] == result["train"] == kills.NOTHING
    for next_one, lost, identical in ((1, 0, 1), (2, 3, 0)):
        told = {"kills": {"any": 2, "start": 1}, "lost": lost, "identical": identical}
        result["collect"] = kills.add(result["collect"], told | {"next": next_one})
    assert result["collect"] == {
        "kills": {"any": 4, "start": 2},
        "killed": 6,
        "compared": 2,
        "identical": 1,
        "lost_episodes": 3,
        "next": 2,
    }
    out.write_text(json.dumps(result))
    assert kills.begun(out, about) == result
    assert kills.begun(out, about | {"commit": "def"})["collect"] == kills.NOTHING
    told = {"kills": {}, "damaged": 4, "identical": 1, "next": 1}
    assert kills.add(kills.NOTHING, told)["damaged_checkpoints"] == 4


def test_the_published_kills() -> None:
    path = BENCHMARKS.parent / "docs" / "results" / "kills.json"
    if not path.exists():
        pytest.skip("the long run has not been made")
    told = json.loads(path.read_text())
    assert told["collect"]["killed"] + told["train"]["killed"] >= 1000
    assert told["collect"]["lost_episodes"] == 0
    assert told["train"]["damaged_checkpoints"] > 0
    for loop in (told["collect"], told["train"]):
        assert loop["identical"] == loop["compared"]
