"""Sweeps of real, tiny runs in real processes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.compare import (
    Finished,
    Group,
    cells,
    group_runs,
    read_runs,
    rows,
)
from lunar_offline.experiment.launch import finish, resolve, start
from lunar_offline.experiment.sweep import Job, LocalPool, plan, sweep

SMALL = {
    "pretrain_updates": 20,
    "updates": 20,
    "online_episodes": 2,
    "warmup_steps": 50,
    "validate_every": 1,
    "validation_episodes": 2,
    "evaluation_episodes": 3,
    "batch_size": 32,
    "utd_ratio": 0.25,
    "agent": {"hidden": [16]},
}


class Recorder:
    """An observer that keeps what it heard."""

    def __init__(self) -> None:
        self.total, self.done = 0, 0.0

    def phase(self, name: str, total: int, done: int) -> None:
        self.total, self.done = total, float(done)

    def advance(self, amount: float, **status: object) -> None:
        assert amount >= 0
        self.done += amount


def test_every_point_has_every_seed_and_a_name_of_what_differs(random_dataset: str) -> None:
    axes = {"dataset": [random_dataset], "rho": [0.0, 0.6], "agent.discount": [0.99, 0.995]}
    jobs = plan(Path("s"), axes, 2, file=SMALL | {"pretrain_updates": 0})
    assert [job.path.name for job in jobs[:3]] == [
        "rho=0.0,discount=0.99,seed=0",
        "rho=0.0,discount=0.99,seed=1",
        "rho=0.0,discount=0.995,seed=0",
    ]
    assert len(jobs) == 8
    assert jobs[0].config.dataset == ""  # rho 0 has none
    assert jobs[-1].config.dataset == random_dataset
    assert jobs[-1].config.agent.discount == 0.995
    assert jobs[-1].config.seed == 1


def test_mistakes_are_found_before_anything_runs(random_dataset: str) -> None:
    for axes, seeds in (
        ({"dataset": [random_dataset], "rho": [0.6, 7.0]}, 1),
        ({"dataset": [random_dataset], "agent.discuont": [0.9]}, 1),
        ({"dataset": [random_dataset]}, 0),
        ({"dataset": []}, 1),
        ({"dataset": [random_dataset], "seed": [5, 6]}, 2),
    ):
        with pytest.raises(UsageError):
            plan(Path("s"), axes, seeds, file=SMALL)
    with pytest.raises(UsageError, match="--jobs 0"):
        LocalPool(0)
    assert not Path("s").exists()


def test_a_sweep_finishes_what_it_can_and_goes_on_where_it_stopped(random_dataset: str) -> None:
    axes = {"dataset": [random_dataset], "algorithm": ["cql-sac", "sac"]}
    jobs = plan(Path("s"), axes, 2, file=SMALL)
    broken = jobs[2]
    begun = start(broken.config, broken.path)
    begun.train()
    for checkpoint in (broken.path / "checkpoints").iterdir():
        checkpoint.write_bytes(b"damaged")

    heard = Recorder()
    failed = sweep(jobs, LocalPool(2), heard)
    assert list(failed) == ["algorithm=sac,seed=0"]
    assert "exit code 3" in failed["algorithm=sac,seed=0"]
    assert "no checkpoint can be read" in failed["algorithm=sac,seed=0"]
    assert [job.finished for job in jobs] == [True, True, False, True]
    assert 3.0 <= heard.done <= heard.total == 4

    # the same bytes as the run by itself, and what is finished is not run again
    alone = start(jobs[0].config, Path("alone"))
    alone.train()
    finish(alone.run)
    before = (jobs[0].path / "policy.safetensors").read_bytes()
    assert (Path("alone") / "policy.safetensors").read_bytes() == before

    class Nothing:
        def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str] | None]:
            assert [job.path.name for job in jobs] == ["algorithm=sac,seed=0"]
            yield from ()

    assert sweep(jobs, Nothing()) == {}

    table = rows(group_runs(read_runs([Path("s")])))
    assert [(row["group"], row["runs"]) for row in table] == [
        ("algorithm=cql-sac", 2),
        ("algorithm=sac", 1),
    ]
    means = [json.loads((j.path / "evaluation.json").read_text())["mean"] for j in jobs[:2]]
    assert min(means) <= table[0]["iqm"]["low"] <= table[0]["iqm"]["high"] <= max(means)
    assert table[0]["better"] is None
    assert table[1]["better"]["value"] in (0.0, 0.25, 0.5, 0.75, 1.0)  # a tie counts as half
    assert table[0]["episodes_to_200"] is None  # two episodes of learning from random data

    with pytest.raises(RefusedError, match="another config"):
        plan(Path("s"), axes, 1, file=SMALL | {"batch_size": 64})


def test_a_stopped_pool_ends_its_runs_and_they_go_on(random_dataset: str) -> None:
    long = SMALL | {"online_episodes": 30, "validate_every": 5}
    jobs = plan(Path("s"), {"dataset": [random_dataset]}, 1, file=long)
    running = LocalPool(1).run(jobs)
    for _ in range(200):
        next(running)
        if jobs[0].done():  # it has flown an episode
            break
    running.close()  # type: ignore[attr-defined]
    assert 0.0 < jobs[0].done() < 1.0
    assert sweep(jobs, LocalPool(1)) == {}
    assert jobs[0].finished
    whole = start(resolve(discrete=None, file=jobs[0].config.to_dict(), options={}), Path("whole"))
    whole.train()
    same = [(p / "last.safetensors").read_bytes() for p in (jobs[0].path, Path("whole"))]
    assert same[0] == same[1]


def test_what_another_env_has_no_measure_of_is_null() -> None:
    seen = {"mean": -150.0, "frames": 200.0, "min_window_100": -160.0, "returns": [-150.0]}
    (row,) = rows([Group("pendulum", [Finished(Path("p"), {}, seen, [])])])
    assert (row["crash_rate"], row["fuel"], row["regret_to_bound"]) == (None, None, None)
    json.dumps(row, allow_nan=False)
    assert cells(row)[4:9] == ["-160.0", "-", "-", "200", "-"]


def test_what_is_no_run_is_said() -> None:
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="neither a run directory"):
        read_runs([Path("empty")])
