"""Start, resume and finish a training run: data in, run directory and evaluation out."""

import os
from pathlib import Path
from typing import Any

from lunar_offline import envs
from lunar_offline.data.metadata import read_metadata
from lunar_offline.data.reader import OfflineDataset, read_dataset
from lunar_offline.data.rollout import Act
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.behavior import BehaviorPolicy, behavior_policy
from lunar_offline.experiment.config import TrainConfig, check_types, merge
from lunar_offline.experiment.evaluate import fly, summarise
from lunar_offline.experiment.figures import evaluation_figure, training_figure
from lunar_offline.experiment.learners import checkpoint_spec
from lunar_offline.experiment.options import check_exclusive
from lunar_offline.experiment.presets import preset_values
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.provenance import differences, provenance
from lunar_offline.experiment.recording import check_recording
from lunar_offline.experiment.records import write_json
from lunar_offline.experiment.run_dir import RunDir
from lunar_offline.experiment.train import Training


def resolve(*, discrete: bool | None, file: dict[str, Any], options: dict[str, Any]) -> TrainConfig:
    """Lay options over the config file over the preset.

    The action space is the dataset's own; without a dataset it is what was asked for, or discrete.

    Raises:
        UsageError: an option cannot be meant, or asks for the other action space.
        RefusedError: the dataset's metadata cannot be trusted.
    """
    given = check_types(TrainConfig, merge(file, options), "config")  # all below rely on types
    check_exclusive(options, given)
    rho, dataset_id = given.get("rho", TrainConfig.rho), given.get("dataset", "")
    wanted = discrete if discrete is not None else given.get("discrete")

    def config(discrete: bool) -> TrainConfig:
        chosen = preset_values(
            given.get("preset", TrainConfig.preset),
            discrete=discrete,
            rho=rho,
            algorithm=given.get("algorithm", TrainConfig.algorithm),
        )
        return TrainConfig.from_dict(merge(chosen, given) | {"discrete": discrete})

    named = envs.named_env(given["env"]) if given.get("env") else None
    if named:
        envs.check_action_space(named, discrete=wanted)
        wanted = named.discrete
    resolved = config(wanted is not False)  # all options are checked before any file is read
    if not dataset_id:
        return resolved
    env = read_metadata(dataset_id, named).env
    envs.check_action_space(env, discrete=wanted)
    return config(env.discrete)


def start(config: TrainConfig, out: Path, observer: Observer | None = None) -> Training:
    """Read the dataset, and make the run directory and a training that stands at its beginning.

    Raises:
        RefusedError: something stands at `out` already, or the dataset cannot be trusted.
        UsageError: the dataset is too small for the config.
    """
    RunDir.check_free(out)
    check_recording(config)
    dataset = _dataset(config)
    transitions = dataset.transitions if dataset else None
    training = Training(config, RunDir(out), transitions, observer)
    made_with = {"dataset": _identity(dataset), "precision": training.precision}
    RunDir.create(out, config, provenance() | made_with)
    return training


def _dataset(config: TrainConfig) -> OfflineDataset | None:
    """Read the dataset of a run, which must be the one that its config pins."""
    named = config.env_info() if config.env else None
    dataset = read_dataset(config.dataset, named) if config.dataset else None
    if dataset and config.dataset_sha256 not in ("", dataset.sha256):
        raise RefusedError(
            f"dataset {config.dataset}: its sha256 is {dataset.sha256}, and dataset_sha256 in the "
            f"config is {config.dataset_sha256}"
        )
    return dataset


def _identity(dataset: OfflineDataset | None) -> dict[str, str] | None:
    return {"id": dataset.dataset_id, "sha256": dataset.sha256} if dataset else None


def resume(path: Path, observer: Observer | None = None) -> Training:
    """Continue a run from its newest whole checkpoint, or from its beginning when it has none.

    Nothing is written before the training goes on. Its `notes` tell of damaged checkpoints, and of
    what is not as the run's provenance records it.

    Raises:
        UsageError: `path` is no run directory, or its dataset is gone.
        RefusedError: no checkpoint can be read, or the dataset is not the one that it began with,
            or another file of the run is damaged.
    """
    run = RunDir.open(path)
    config, recorded = run.config(), run.provenance()
    run.check_config(recorded)
    dataset = _dataset(config)
    if recorded.get("dataset") != _identity(dataset):
        raise RefusedError(f"{path}: dataset {config.dataset} is not the one the run began with")
    training = Training(config, run, dataset.transitions if dataset else None, observer)
    other = differences(recorded, precision=training.precision)
    if other:
        training.notes.append(f"the run began with {other}; bits may differ from here on")
    checkpoint = run.load_checkpoint(config, checkpoint_spec(config, training.learner))
    if checkpoint is None:
        training.notes.append("no checkpoint yet: the run starts over")
        return training
    run.metrics(checkpoint.counters.metrics_size)  # damage shows now, not at the end
    try:
        training.restore(checkpoint)
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from None
    return training


def finish(
    run: RunDir, observer: Observer | None = None, *, workers: int = 1
) -> dict[str, Any] | None:
    """Draw a finished run's figure and evaluate it; see `evaluate_run`.

    Returns None when the run asks for no evaluation (rho 1 makes no env).
    """
    config = run.config()
    training_figure(run.metrics(), run.path / "training.png", title=run.path.name)
    if not config.evaluation_episodes:
        return None
    summary = evaluate_run(
        run.path,
        config.evaluation_episodes,
        env=config.env_info() if config.env else None,
        workers=workers,
        observer=observer,
    )
    write_evaluation(run.path, summary)
    return summary


def evaluate_run(
    path: Path,
    episodes: int,
    *,
    discrete: bool | None = None,
    stochastic: bool = False,
    env: envs.EnvInfo | None = None,
    workers: int = 1,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Judge both policies of a run on the same held-out seeds; see `summarise`.

    The summary is that of `policy`, the one with the best validation mean; its key `last` is that
    of the policy at the end of a finished run. `env` is one that the user named.

    Raises:
        UsageError: no policy there, no episode asked for, or the other action space.
        RefusedError: a file is no whole policy.
    """

    def judge(policy: BehaviorPolicy) -> dict[str, Any]:
        return evaluate_act(policy.env, policy.act, episodes, workers=workers, observer=observer)

    best = behavior_policy(str(path), discrete=discrete, stochastic=stochastic, env=env)
    summary, last = judge(best), path / "last.safetensors"
    if not last.is_file():
        return summary
    end = behavior_policy(str(last), discrete=discrete, stochastic=stochastic, env=env)
    of_last = summary if end.sha256 == best.sha256 else judge(end)
    skipped = ("returns", "seeds")
    return summary | {"last": {k: v for k, v in of_last.items() if k not in skipped}}


def evaluate_act(
    env: envs.EnvInfo,
    act: Act,
    episodes: int,
    *,
    workers: int = 1,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Fly any policy on the held-out seeds; see `summarise`. Raises UsageError for no episode."""
    if episodes < 1:
        raise UsageError(f"--episodes {episodes}: at least one")
    observer = observer or Silent()
    observer.phase("held-out episodes", episodes, 0)
    flown = fly(
        env,
        act,
        episodes,
        workers=workers,
        on_episode=lambda e: observer.advance(1, episode_return=e.episode_return),
    )
    return summarise(flown, env)


def check_folder(folder: Path) -> None:
    """Raise UsageError unless `folder` is one, or could become one."""
    nearest = next(p for p in (folder, *folder.parents) if os.path.lexists(p) or p == p.parent)
    if not nearest.is_dir():
        raise UsageError(f"--out {folder}: {nearest} is not a folder")


def write_evaluation(folder: Path, summary: dict[str, Any]) -> None:
    """Write evaluation.json and evaluation.png (the paper's Fig. 5); make the folder if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "evaluation.json", summary)
    evaluation_figure(summary["returns"], folder / "evaluation.png")
