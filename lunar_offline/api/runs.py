"""Runs: train, evaluate and compare."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Unpack

from lunar_offline.api.data import named_env
from lunar_offline.api.train_options import TrainOptions
from lunar_offline.datasets.dataset import Dataset
from lunar_offline.datasets.folder import DatasetFolder
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.evaluate import evaluate_policy, write_evaluation
from lunar_offline.evaluation.evaluation_file import Evaluations
from lunar_offline.evaluation.summary import Evaluation
from lunar_offline.options import did_you_mean, options_of
from lunar_offline.policies.behavior import PolicySource, behavior_policy
from lunar_offline.policies.policy import Policy
from lunar_offline.progress import Observer
from lunar_offline.storage.strict_toml import merge, read_toml
from lunar_offline.studies.compare import Comparison, compare_runs
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.resolve_config import resolve_run
from lunar_offline.training.run import Run
from lunar_offline.training.run_options import agent_options, as_table, default_run_path, implied
from lunar_offline.training.start_or_resume import resume as resume_run
from lunar_offline.training.start_or_resume import start, train_and_finish
from lunar_offline.training.trackers.registry import parse_trackers

log = logging.getLogger("lunar_offline")


def train(
    dataset: str | Dataset | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | Mapping[str, object] | None = None,
    resume: str | os.PathLike[str] | None = None,
    tracker: str | Sequence[str] | None = None,
    workers: int = 1,
    observer: Observer | None = None,
    **options: Unpack[TrainOptions],
) -> Run:
    """Train an algorithm and evaluate its policies.

    Every option of the command `train` is a keyword; docs/reference.md lists them with their
    defaults. Notes, such as one on another machine at a resume, go to the logger `lunar_offline`.

    Example:
        >>> import lunar_offline as lo
        >>> run = lo.train("lunar-random-v0", rho=1, updates=20, out="runs/example")
        >>> run.config.rho
        1.0

    Args:
        dataset: a dataset or its id; None at rho 0.
        out: the run directory to make; None chooses one below runs/.
        config: a TOML file, or a table, with any keys of a run's config.toml.
        resume: a run directory to continue instead; only `tracker` may be given with it.
        tracker: `tensorboard` (the default), `wandb`, `mlflow`, `trackio` or `none`, or several.
        workers: number of processes for the evaluation at the end.
        observer: receives the progress; None reports nothing.
        **options: see `TrainOptions`.

    Returns:
        The finished run.

    Raises:
        UsageError: options are invalid or contradict each other, or there is no such dataset.
        RefusedError: `out` exists, or a dataset or the run to continue is damaged.
        DivergedError: the training diverged.
    """
    names = [tracker] if isinstance(tracker, str) else tracker
    trackers = None if names is None else parse_trackers(list(names))
    if resume is not None:
        if options or dataset is not None or out is not None or config is not None:
            raise UsageError("resume takes every option from the run; give only tracker with it")
        path = Path(resume)
        training = resume_run(path, observer, trackers=trackers)
    else:
        resolved, folder = _resolved(dataset, config or {}, options)
        path = default_run_path(resolved) if out is None else Path(out)
        training = start(resolved, path, observer, folder=folder, trackers=trackers)
    for note in training.notes:
        log.warning(note)
    train_and_finish(training, observer, workers=workers)
    return Run(path)


def _resolved(
    dataset: str | Dataset | None,
    config: str | os.PathLike[str] | Mapping[str, object],
    options: TrainOptions,
) -> tuple[TrainConfig, DatasetFolder | None]:
    """Return the config of a new run, and its dataset; see `resolve_run`."""
    given: dict[str, object] = {**options}
    discrete = options.get("discrete")
    given.pop("discrete", None)
    known = {**options_of(TrainConfig), **agent_options(), "agent": None}
    for name in given:
        if name not in known:
            raise UsageError(
                f"train has no option {name!r}{did_you_mean(name, known)}; "
                "options of an algorithm can be given as agent={...}"
            )
    if dataset is not None:
        given["dataset"] = dataset.id if isinstance(dataset, Dataset) else dataset
    file = config if isinstance(config, Mapping) else read_toml(Path(config))
    chosen = merge({"agent": implied(given)}, as_table(given))
    return resolve_run(discrete=discrete, file=file, options=chosen)


def evaluate(
    policy: Run | Policy | PolicySource,
    *,
    episodes: int = 1000,
    which: Literal["last", "best"] = "last",
    stochastic: bool = False,
    env: str | EnvInfo | None = None,
    env_kwargs: Mapping[str, PlainValue] | None = None,
    discrete: bool | None = None,
    workers: int = 1,
    trust: bool = False,
    observer: Observer | None = None,
) -> Evaluation:
    """Evaluate a run or a policy on fixed held-out seeds, which no training uses.

    A run that has no evaluation yet keeps the result, so that `compare` finds it.

    Example:
        >>> import lunar_offline as lo
        >>> lo.evaluate("controller", episodes=5).episodes
        5

    Args:
        policy: a run, or a policy as for `collect`.
        episodes: number of episodes, from the first held-out seed, at least 1.
        which: of a run, the policy at its end, or the one with the best validation mean.
        stochastic: sample the actions; else argmax, tanh(mu), or the mean.
        env: see `collect`.
        env_kwargs: settings of the env, which may differ from those that the policy learned with.
        discrete: see `collect`.
        workers: number of processes; the result does not depend on it.
        trust: see `collect`.
        observer: receives the progress; None reports nothing.

    Raises:
        UsageError: an argument is invalid, or the policy does not exist or does not fit the env.
        RefusedError: the policy file is damaged, or must be trusted.
    """
    if isinstance(policy, Policy):
        found = policy.behavior_policy(stochastic=stochastic)
    else:
        source: PolicySource = policy
        if isinstance(policy, Run):
            source = policy.path / "policy.safetensors" if which == "best" else policy.path
        named = named_env(env, env_kwargs, discrete) if env or callable(policy) else None
        found = behavior_policy(
            source, discrete=discrete, stochastic=stochastic, env=named, trust=trust
        )
    found = found.with_settings(env_kwargs or {})
    result = evaluate_policy(found, episodes, workers=workers, observer=observer)
    plain = which == "last" and not (stochastic or env_kwargs)
    if isinstance(policy, Run) and plain and not policy.is_evaluated and policy.is_finished:
        write_evaluation(policy.path, Evaluations(last=result), found.env)
    return result


def compare(runs: Sequence[Run | str | os.PathLike[str]]) -> list[Comparison]:
    """Compare evaluated runs, grouped by the options in which they differ, over their seeds.

    Example:
        >>> import lunar_offline as lo
        >>> _ = lo.evaluate(lo.Run("runs/example"), episodes=3)
        >>> [row.runs for row in lo.compare(["runs/example"])]
        [1]

    Args:
        runs: runs, run directories, or folders of them, such as a sweep's.

    Raises:
        UsageError: a path is neither, no run is evaluated, or the runs have different envs.
        RefusedError: an evaluation is damaged.
    """
    return compare_runs([Path(run) for run in runs])
