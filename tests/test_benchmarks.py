"""The benchmarks' own side runs: their peers are installed by hand only."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from lunar_offline.evaluation.evaluation_file import Evaluations
from lunar_offline.evaluation.summary import Evaluation
from lunar_offline.studies.compare import Finished
from lunar_offline.studies.sweep import plan, run_job
from lunar_offline.training.metrics import ValidationRecord

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RESULTS = BENCHMARKS.parent / "docs" / "results"
SMALL = {
    "pretrain_updates": 20,
    "online_episodes": 2,
    "batch_size": 32,
    "utd_ratio": 0.25,
    "warmup_steps": 50,
    "validate_every": 1,
    "validation_episodes": 2,
    "evaluation_episodes": 3,
    "agent": {"hidden": [16]},
}
MEASURES = {
    "episodes",
    "mean",
    "iqm",
    "sd",
    "min",
    "outcomes",
    "frames",
    "crash_rate",
    "success_rate",
    "fuel",
    "regret_to_bound",
    "regret_parts",
}


@pytest.fixture
def compact(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compact  # pyright: ignore[reportMissingImports]

    return compact


@pytest.fixture
def seeds_table(compact: Any) -> Any:
    import seeds_table  # pyright: ignore[reportMissingImports]

    return seeds_table


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
    path = RESULTS / "kills.json"
    if not path.exists():
        pytest.skip("the long run has not been made")
    told = json.loads(path.read_text())
    assert told["collect"]["killed"] + told["train"]["killed"] >= 1000
    assert told["collect"]["lost_episodes"] == 0
    assert told["train"]["damaged_checkpoints"] > 0
    for loop in (told["collect"], told["train"]):
        assert loop["identical"] == loop["compared"]


def test_the_tables_of_seeds_are_those_of_the_published_runs(seeds_table: Any) -> None:
    root = BENCHMARKS.parent
    pages = [path.read_text() for path in (root / "README.md", *sorted(root.glob("docs/*.md")))]
    tables = re.findall(r"^\| seed \|.*(?:\n\|.*)+", "\n".join(pages), re.MULTILINE)
    assert tables == [
        seeds_table.table(seeds_table.read(RESULTS / f"headline-{kind}.json"))
        for kind in ("discrete", "continuous")
    ]


def test_the_readme_has_the_numbers_of_the_published_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import headline  # pyright: ignore[reportMissingImports]

    readme = " ".join((BENCHMARKS.parent / "README.md").read_text().split())
    assert " ".join(headline.markdown(headline.table()).split()) in readme
    discrete, continuous = (headline.facts(kind) for kind in headline.KINDS)
    episodes, steps = "validation episodes per run", "env steps of validation"
    median, worst = (f"largest fall of a validation, {which} seed" for which in ("median", "worst"))
    first, second, third = continuous["behavior cloning"].split(", ")
    for sentence in (
        f"{discrete[episodes]} episodes, or {discrete[steps]} env steps",
        f"(continuous: {continuous[steps]})",
        f"by {discrete[median]} points in the median seed and {discrete[worst]} in the worst",
        f"(continuous: {continuous[median]} and {continuous[worst]})",
        f"seeds have {first}, {second} and {third}",
    ):
        assert sentence in readme


def test_the_learning_curves_are_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import learning_curves  # pyright: ignore[reportMissingImports]

    learning_curves.draw(tmp_path / "curves.png")
    for path in (tmp_path / "curves.png", BENCHMARKS.parent / "docs" / "learning-curves.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 200_000


def test_percentile_intervals_of_few_seeds_are_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import interval_coverage  # pyright: ignore[reportMissingImports]

    shares = [interval_coverage.coverage(n, trials=1000, resamples=500) for n in (3, 5, 10)]
    assert shares == pytest.approx([0.75, 0.84, 0.90], abs=0.05)


def test_the_published_results_are_few_and_small() -> None:
    sizes = {path.name: path.stat().st_size for path in RESULTS.iterdir()}
    assert len(sizes) <= 12
    assert sum(sizes.values()) < 1_500_000


def test_the_published_runs_are_whole() -> None:
    for kind, steps in (("discrete", 206_025), ("continuous", 225_628)):
        found = json.loads((RESULTS / f"headline-{kind}.json").read_text())
        assert [run["seed"] for run in found["runs"]] == list(range(10))
        for run in found["runs"]:
            assert len(run["best"]["returns"]) == found["config"]["evaluation_episodes"] == 1000
            assert len(run["episode_returns"]) == found["config"]["online_episodes"] == 200
            assert [episode for episode, _ in run["validations"]] == list(range(0, 201, 5))
            assert run["cost"]["dataset_steps"] == steps


def test_runs_become_one_file(
    compact: Any,
    seeds_table: Any,
    random_dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "headline.json"
    jobs = plan(runs, {"dataset": [random_dataset], "rho": [0.6]}, 2, file=SMALL)
    for job in jobs:
        run_job(job)
    monkeypatch.setattr(sys, "argv", ["compact.py", str(runs), "--out", str(out)])
    compact.main()
    assert len(out.read_text().splitlines()) == 13  # of keys and runs, and the brackets
    found = json.loads(out.read_text())
    assert list(found) == [
        "command",
        "versions",
        "machine",
        "commit",
        "dataset",
        "precision",
        "config",
        "runs",
    ]
    assert found["command"] == (
        "lunar-offline sweep --dataset lunar-random-v0 --rho 0.6 --seeds 2"
        " --set pretrain_updates=20 --set online_episodes=2 --set batch_size=32"
        " --set utd_ratio=0.25 --set warmup_steps=50 --set validate_every=1"
        " --set validation_episodes=2 --set evaluation_episodes=3 --set 'agent.hidden=[16]'"
    )
    provenance = json.loads((jobs[0].path / "provenance.json").read_text())
    for name in ("versions", "machine", "commit", "dataset", "precision"):
        assert found[name] == provenance[name]
    config = jobs[0].config.to_dict()
    assert config.pop("seed") == 0
    assert found["config"] == config
    for seed, run in enumerate(found["runs"]):
        assert list(run) == [
            "seed",
            "best",
            "last",
            "cost",
            "validations",
            "episode_returns",
            "worst_drop",
        ]
        assert run["seed"] == seed
        assert run["best"].keys() == MEASURES | {"returns"}
        assert run["last"].keys() == MEASURES
        assert [episode for episode, _ in run["validations"]] == [0, 1, 2]
        assert len(run["best"]["returns"]) == 3
        lines = (jobs[seed].path / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        episodes = [record for record in records if record["kind"] == "episode"]
        frames = [record["validation_frames"] for record in records if "validation_mean" in record]
        assert run["episode_returns"] == [round(record["episode_return"], 1) for record in episodes]
        assert run["cost"] == {
            "online_episodes": 2,
            "online_steps": sum(record["length"] for record in episodes),
            "validation_episodes": 6,
            "validation_steps": sum(frames) * 2,
            "dataset_steps": json.loads(
                (tmp_path / "datasets" / random_dataset / "data" / "metadata.json").read_text()
            )["total_steps"],
        }
    tables = [seeds_table.table(seeds_table.read(path)) for path in (out, runs)]
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 5


def test_what_differs_between_runs_is_in_their_lines(
    compact: Any, random_dataset: str, tmp_path: Path
) -> None:
    axes = {"dataset": [random_dataset], "rho": [0.6], "agent.discount": [0.9, 0.99]}
    for job in plan(tmp_path / "runs", axes, 1, file=SMALL):
        run_job(job)
    with pytest.raises(SystemExit, match="give --command"):
        compact.headline([tmp_path / "runs"])
    found = compact.headline([tmp_path / "runs"], "lunar-offline sweep ...")
    assert found["command"] == "lunar-offline sweep ..."
    options = [run["config"] for run in found["runs"]]
    assert options == [{"agent": {"discount": 0.9}}, {"agent": {"discount": 0.99}}]
    assert "discount" not in found["config"]["agent"]


@pytest.mark.parametrize(
    ("means", "drop"),
    [
        ({0: 100.0, 5: 80.0, 10: 60.5, 15: 120.0}, 39.5),
        ({0: 100.0, 5: 100.5}, 0.0),
        ({0: 100.0}, 0.0),
        ({5: 80.0, 10: 60.0}, None),  # nothing to fall from: no validation before going online
    ],
)
def test_the_worst_drop(compact: Any, means: dict[int, float], drop: float | None) -> None:
    landing = Evaluation(1, 1.0, 1.0, 0.0, 1.0, None, {}, 2.0, {}, [1.0], [0])
    validations = [ValidationRecord(0, 0, e, mean, 0.0, 2.0) for e, mean in means.items()]
    config = {"seed": 0, "validation_episodes": 3}
    run = Finished(Path("x"), config, Evaluations(last=landing, best=landing), [*validations])
    assert compact.summary(run)["worst_drop"] == drop
