"""Start, resume and finish a training run."""

from collections.abc import Sequence
from pathlib import Path

from lunar_offline.datasets.dataset import Dataset, read_folder
from lunar_offline.datasets.folder import DatasetFolder, open_folder
from lunar_offline.envs.env_kwargs import format_kwargs
from lunar_offline.errors import RefusedError
from lunar_offline.evaluation.evaluate import evaluate_policies, write_evaluation
from lunar_offline.evaluation.evaluation_file import Evaluations
from lunar_offline.evaluation.figures import training_figure
from lunar_offline.progress import Observer
from lunar_offline.storage.provenance import differences, provenance
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.loop import Training
from lunar_offline.training.make_learner import checkpoint_spec
from lunar_offline.training.metrics import EpisodeRecord, Record, ValidationRecord
from lunar_offline.training.record_episodes import check_recording
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.trackers.registry import DEFAULT, check_installed
from lunar_offline.training.trackers.run_trackers import recorded_trackers


def start(
    config: TrainConfig,
    out: Path,
    observer: Observer | None = None,
    *,
    folder: DatasetFolder | None = None,
    trackers: Sequence[str] | None = None,
) -> Training:
    """Read the dataset, make the run directory, and return the training, which has not started yet.

    Args:
        config: all options.
        out: the run directory to make.
        observer: receives the progress; None reports nothing.
        folder: the dataset of the config if it is already resolved; see `resolve_run`.
        trackers: see `parse_trackers`; None takes TensorBoard.

    Raises:
        RefusedError: `out` already exists, or the dataset is invalid.
        UsageError: the dataset does not exist, or is too small for the config, or the extra of a
            tracker is missing.
    """
    trackers = DEFAULT if trackers is None else trackers
    check_installed(trackers)
    RunFolder.check_free(out)
    check_recording(config)
    dataset = _dataset(config, folder)
    transitions = dataset.transitions if dataset else None
    training = Training(config, RunFolder(out, trackers), transitions, observer)
    if dataset is not None and dataset.env != training.env:
        training.notes.append(
            "the dataset and the run have different settings of the env: "
            f"{format_kwargs(dataset.env.settings) or 'the defaults'}, and "
            f"{format_kwargs(training.env.settings) or 'the defaults'}"
        )
    made_with = {"dataset": _identity(dataset), "precision": training.precision}
    RunFolder.create(out, config, provenance() | made_with)
    return training


def _dataset(config: TrainConfig, folder: DatasetFolder | None) -> Dataset | None:
    """Read the dataset of a run; its sha256 must be that in the config, if the config has one."""
    if not config.dataset:
        return None
    env, dataset = config.env_info(), read_folder(folder or open_folder(config.dataset))
    if (dataset.env.env_id, dataset.env.discrete) != (env.env_id, env.discrete):
        raise RefusedError(
            f"dataset {config.dataset} has {dataset.env.action_kind} actions of "
            f"{dataset.env.env_id}, the config states {env.action_kind} actions of {env.env_id}"
        )
    if config.dataset_sha256 not in ("", dataset.sha256):
        raise RefusedError(
            f"dataset {config.dataset}: its sha256 is {dataset.sha256}, but dataset_sha256 in the "
            f"config is {config.dataset_sha256}"
        )
    return dataset


def _identity(dataset: Dataset | None) -> dict[str, str] | None:
    return {"id": dataset.id, "sha256": dataset.sha256} if dataset else None


def resume(
    path: Path, observer: Observer | None = None, *, trackers: Sequence[str] | None = None
) -> Training:
    """Return the training of a run at its newest undamaged checkpoint, or at its beginning.

    This function writes nothing. The `notes` of the training list damaged checkpoints and
    differences from the run's provenance.

    Args:
        path: the run directory.
        observer: receives the progress; None reports nothing.
        trackers: see `parse_trackers`; None continues those that the run used last.

    Raises:
        UsageError: `path` is not a run directory, its dataset does not exist, or the extra of a
            tracker is missing.
        RefusedError: the run has checkpoints but none can be read, its dataset has changed, or
            another of its files is damaged.
    """
    if trackers is None:
        trackers = recorded_trackers(path)
    run = RunFolder.open(path, trackers)
    check_installed(trackers)
    config, recorded = run.config(), run.provenance()
    run.check_config(recorded)
    dataset = _dataset(config, None)
    if recorded.get("dataset") != _identity(dataset):
        raise RefusedError(f"{path}: dataset {config.dataset} changed since the run started")
    training = Training(config, run, dataset.transitions if dataset else None, observer)
    other = differences(recorded, precision=training.precision)
    if other:
        training.notes.append(
            f"the run started with {other}; its results may differ in the last bits from here on"
        )
    checkpoint = run.load_checkpoint(config, checkpoint_spec(config, training.learner))
    if checkpoint is None:
        training.notes.append("no checkpoint yet; the run starts from the beginning")
        return training
    run.metrics(checkpoint.counters.metrics_size)  # report damaged metrics now, not at the end
    try:
        training.restore(checkpoint)
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from None
    return training


def finish(
    run: RunFolder, observer: Observer | None = None, *, workers: int = 1
) -> Evaluations | None:
    """Draw the training figure of a finished run, and evaluate its policies.

    Args:
        run: the run directory.
        observer: receives the progress; None reports nothing.
        workers: number of processes for the evaluation.

    Returns:
        The evaluations of its policies; None if the config has no evaluation, as at rho 1.
    """
    records = run.metrics()
    with run.trackers.open():
        run.trackers.start(records)
        return _finish(run, records, observer, workers)


def _finish(
    run: RunFolder, records: Sequence[Record], observer: Observer | None, workers: int
) -> Evaluations | None:
    config = run.config()
    training_figure(
        [(r.episode, r.episode_return) for r in records if isinstance(r, EpisodeRecord)],
        [(r.episode, r.mean) for r in records if isinstance(r, ValidationRecord)],
        run.path / "training.png",
        title=run.path.name,
    )
    if not config.evaluation_episodes:
        return None
    found = evaluate_policies(
        run.policies(env=config.env_info()),
        config.evaluation_episodes,
        workers=workers,
        observer=observer,
    )
    again = (run.path / "evaluation.json").exists()
    write_evaluation(run.path, found, config.env_info())
    update_step = records[-1].update_step if records else 0
    run.trackers.evaluated(update_step, found.to_dict(), again=again)
    return found


def train_and_finish(
    training: Training, observer: Observer | None = None, *, workers: int = 1
) -> Evaluations | None:
    """Train to the end of the run, then `finish` it; the trackers stay open in between.

    Arguments and result are those of `finish`, errors those of `Training.train`.
    """
    with training.run.trackers.open():
        training.train()
        return finish(training.run, observer, workers=workers)
