"""Sweeps of real, tiny runs in real processes."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluation_file import Evaluations
from lunar_offline.evaluation.summary import Evaluation
from lunar_offline.studies import compare
from lunar_offline.studies.compare import (
    Finished,
    Group,
    cells,
    compare_runs,
    comparisons,
    read_runs,
)
from lunar_offline.studies.local_executor import LocalExecutor
from lunar_offline.studies.sweep import TAIL_BYTES, Job, plan, sweep
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.metrics import (
    EpisodeRecord,
    IntervalRecord,
    Record,
    ValidationRecord,
)
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.start_or_resume import finish, start
from lunar_offline.training.trackers.json_lines import JSONLines

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
    """An observer that keeps what it was told."""

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


def test_mistakes_are_found_before_anything_runs(
    random_dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for axes, seeds in (
        ({"dataset": [random_dataset], "rho": [0.6, 7.0]}, 1),
        ({"dataset": [random_dataset], "agent.discuont": [0.9]}, 1),
        ({"dataset": [random_dataset]}, 0),
        ({"dataset": []}, 1),
        ({"dataset": [random_dataset], "seed": [5, 6]}, 2),
    ):
        with pytest.raises(UsageError):
            plan(Path("s"), axes, seeds, file=SMALL)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="--tracker wandb needs an extra"):
        plan(Path("s"), {"dataset": [random_dataset]}, 1, file=SMALL, trackers=("wandb",))
    with pytest.raises(UsageError, match="--jobs 0"):
        LocalExecutor(0)
    assert not Path("s").exists()


def episode(number: int) -> EpisodeRecord:
    return EpisodeRecord(10 * number, 100 * number, number, -100.0, 100, "crashed")


def interval(update_step: int) -> IntervalRecord:
    return IntervalRecord(update_step, 0, {"td_loss": 1.0}, 800.0)


def progress(job: Job, records: Sequence[Record], rest: str = "") -> float:
    """Return the share that is done of a run with these records."""
    path = job.path / "metrics.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    lines = JSONLines(path)
    for record in records:
        lines.log(record)
    with path.open("a") as file:
        file.write(rest)
    return job.done()


def test_progress_counts_the_episodes_that_have_ended() -> None:
    job = Job(TrainConfig(dataset="x-v0", online_episodes=4), Path("run"))
    assert job.done() == 0.0  # there is no file
    assert progress(job, []) == 0.0
    assert progress(job, [interval(1_000), interval(2_000)]) == 0.0
    assert progress(job, [interval(1_000), episode(0)]) == 0.25
    # intervals of the episode that runs know nothing of episodes
    intervals = [interval(1_000), interval(2_000)]
    assert progress(job, [episode(0), episode(1), *intervals]) == 0.5
    validation = ValidationRecord(20, 200, 2, -100.0, -100.0, 100.0)
    assert progress(job, [episode(0), episode(1), validation]) == 0.5
    assert progress(job, [episode(number) for number in range(9)]) == 1.0
    # a line that is being written
    assert progress(job, [episode(0), episode(1)], '{"kind": "episode", "episo') == 0.5
    assert progress(job, [episode(0)], '5\n[]\n{"kind": "interval"}\n') == 0.25


def test_progress_is_read_from_the_end_of_a_long_file() -> None:
    job = Job(TrainConfig(dataset="x-v0", online_episodes=1_000), Path("run"))
    records = [episode(number) for number in range(900)]
    assert progress(job, records) == 0.9
    assert (job.path / "metrics.jsonl").stat().st_size > TAIL_BYTES


def test_progress_at_rho_1_counts_updates() -> None:
    job = Job(TrainConfig(dataset="x-v0", rho=1.0, updates=4_000), Path("run"))
    assert job.done() == 0.0
    assert progress(job, []) == 0.0
    assert progress(job, [interval(1_000), interval(2_000)]) == 0.5
    assert progress(job, [interval(9_000)]) == 1.0
    (job.path / "metrics.jsonl").unlink()
    assert job.done() == 0.0
    (job.path / "evaluation.json").touch()
    assert job.done() == 1.0


def test_a_sweep_finishes_what_it_can_and_continues_where_it_stopped(random_dataset: str) -> None:
    axes = {"dataset": [random_dataset], "algorithm": ["cql-sac", "sac"]}
    jobs = plan(Path("s"), axes, 2, file=SMALL, trackers=())
    broken = jobs[2]
    begun = start(broken.config, broken.path)
    begun.train()
    for checkpoint in (broken.path / "checkpoints").iterdir():
        checkpoint.write_bytes(b"damaged")

    observed = Recorder()
    failed = sweep(jobs, LocalExecutor(2), observed)
    assert list(failed) == ["algorithm=sac,seed=0"]
    assert "exit code 3" in failed["algorithm=sac,seed=0"]
    assert "no checkpoint can be read" in failed["algorithm=sac,seed=0"]
    assert [job.finished for job in jobs] == [True, True, False, True]
    assert 3.0 <= observed.done <= observed.total == 4

    assert not (jobs[0].path / "tensorboard").exists()

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

    table = compare_runs([Path("s")])
    assert [(row.group, row.runs) for row in table] == [
        ("algorithm=cql-sac", 2),
        ("algorithm=sac", 1),
    ]
    means = [json.loads((j.path / "evaluation.json").read_text())["last"]["mean"] for j in jobs[:2]]
    assert min(means) <= table[0].iqm.low <= table[0].iqm.high <= max(means)
    assert table[0].better is None
    assert table[1].better.value in (0.0, 0.25, 0.5, 0.75, 1.0)  # a tie counts as half
    assert table[0].episodes_to_200 == float("inf")  # two episodes of learning from random data

    with pytest.raises(RefusedError, match="another config"):
        plan(Path("s"), axes, 1, file=SMALL | {"batch_size": 64})


def test_a_stopped_executor_ends_its_runs_and_they_continue(random_dataset: str) -> None:
    long = SMALL | {"online_episodes": 30, "validate_every": 5}
    jobs = plan(Path("s"), {"dataset": [random_dataset]}, 1, file=long)
    running = LocalExecutor(1).run(jobs)
    for _ in range(200):
        next(running)
        if jobs[0].done():  # an episode has ended
            break
    running.close()  # type: ignore[attr-defined]
    assert 0.0 < jobs[0].done() < 1.0
    assert sweep(jobs, LocalExecutor(1)) == {}
    assert jobs[0].finished
    whole = start(resolve(discrete=None, file=jobs[0].config.to_dict(), options={}), Path("whole"))
    whole.train()
    same = [(p / "last.safetensors").read_bytes() for p in (jobs[0].path, Path("whole"))]
    assert same[0] == same[1]


def test_what_another_env_has_no_measure_of_is_null() -> None:
    swing = Evaluation(1, -150.0, -150.0, 0.0, -150.0, -160.0, {}, 200.0, {}, [-150.0], [0])
    evaluation = Evaluations(last=swing)
    (row,) = comparisons([Group("pendulum", [Finished(Path("p"), {}, evaluation, [])])])
    assert (row.crash_rate, row.fuel, row.regret_to_bound) == (None, None, None)
    json.dumps(row.to_dict(), allow_nan=False)
    assert cells(row)[4:9] == ["-160.0", "-", "-", "200", "-"]


def _evaluated(mean: float) -> Evaluations:
    found = Evaluation(
        episodes=1,
        mean=mean,
        iqm=mean,
        sd=0.0,
        min=mean,
        min_window_100=None,
        outcomes={"truncated": 1},
        frames=200.0,
        measures={},
        returns=[mean],
        seeds=[None],
    )
    return Evaluations(last=found, best=found)


def test_one_run_has_no_interval() -> None:
    def of(name: str, *means: float) -> Group:
        return Group(name, [Finished(Path(name), {}, _evaluated(mean), []) for mean in means])

    one, several = comparisons([of("one", 1.5), of("several", 1.0, 2.0, 3.0)])
    plain = [one.to_dict(), several.to_dict()]
    assert plain[0]["iqm"] == {"value": 1.5, "low": None, "high": None}
    assert several.iqm.low < several.iqm.value < several.iqm.high
    assert plain[1]["better"] == {"value": pytest.approx(2 / 3), "low": None, "high": None}
    assert one.lowest_window is None  # of fewer than 100 episodes
    assert cells(one)[2:5] == ["1.5", "1.5", "-"]
    assert cells(several)[-1] == "0.67"
    json.dumps(plain, allow_nan=False)


def test_returns_of_different_envs_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = {"a": "LunarLander-v3", "b": "LunarLander-v3", "c": "CartPole-v1"}
    for name in envs:
        Path(name).mkdir()
        Path(name, "config.toml").touch()
        Path(name, "evaluation.json").touch()
    monkeypatch.setattr(
        compare, "_read", lambda path: Finished(path, {"env": envs[path.name]}, _evaluated(0.0), [])
    )
    assert len(read_runs([Path("a"), Path("b")])) == 2
    with pytest.raises(UsageError, match=r"a is of LunarLander-v3, c is of CartPole-v1$"):
        read_runs([Path(name) for name in envs])


def test_what_is_no_run_is_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="neither a run directory"):
        read_runs([Path("empty")])
