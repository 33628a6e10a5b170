"""Evaluate policies on the held-out seeds, and write the results."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.envs.rollout import Act
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.evaluation_file import Evaluations, write_evaluation_file
from lunar_offline.evaluation.figures import evaluation_figure
from lunar_offline.evaluation.held_out_seeds import held_out_episodes
from lunar_offline.evaluation.summary import Evaluation, summarize
from lunar_offline.policies.behavior import BehaviorPolicy
from lunar_offline.progress import Observer, Silent

PHASE = "held-out episodes"


@dataclass(frozen=True)
class RunPolicies:
    """The policies of a run.

    Attributes:
        best: the policy with the best validation mean.
        last: the policy at the end of the run; None before that.
    """

    best: BehaviorPolicy
    last: BehaviorPolicy | None

    def with_settings(self, settings: Mapping[str, PlainValue]) -> Self:
        """Return the policies in their env with other settings; see `EnvInfo.with_settings`."""
        last = self.last and self.last.with_settings(settings)
        return replace(self, best=self.best.with_settings(settings), last=last)


def evaluate_policies(
    policies: RunPolicies,
    episodes: int,
    *,
    workers: int = 1,
    observer: Observer | None = None,
) -> Evaluations:
    """Evaluate both policies of a run on the same held-out seeds.

    Args:
        policies: of the run.
        episodes: number of held-out episodes, at least 1.
        workers: number of processes; see `held_out_episodes`.
        observer: receives the progress.

    Raises:
        UsageError: `episodes` is below 1.
    """
    same = policies.last is not None and policies.last.sha256 == policies.best.sha256
    found: dict[str, Evaluation] = {}
    for name, policy in (("last", policies.last), ("best", policies.best)):
        if policy is None:
            continue
        if same and found:
            found[name] = found["last"]
            continue
        phase = PHASE if same or policies.last is None else f"held-out ({name})"
        found[name] = evaluate_policy(
            policy, episodes, workers=workers, observer=observer, phase=phase
        )
    return Evaluations(**found)


def evaluate_policy(
    policy: BehaviorPolicy,
    episodes: int,
    *,
    workers: int = 1,
    observer: Observer | None = None,
    phase: str = PHASE,
) -> Evaluation:
    """Evaluate one policy on the held-out seeds; see `summarize`.

    Arguments and errors are those of `evaluate_policies`; `phase` labels the progress.
    """
    if episodes < 1:
        raise UsageError(f"--episodes {episodes}: at least one")
    observer = observer or Silent()
    observer.phase(phase, episodes, 0)
    found = held_out_episodes(
        policy.env,
        policy.act,
        episodes,
        workers=workers if policy.shareable else 1,
        on_episode=lambda e: observer.advance(1, episode_return=e.episode_return),
    )
    return summarize(found, policy.env)


def validate(env: EnvInfo, act: Act, episodes: int, observer: Observer) -> Evaluation:
    """Evaluate a policy of a run on the validation seeds; see `summarize`."""
    observer.phase("validation", episodes, 0)
    found = held_out_episodes(
        env,
        act,
        episodes,
        stream="validation",
        on_episode=lambda e: observer.advance(1, episode_return=e.episode_return),
    )
    return summarize(found, env)


def check_folder(folder: Path) -> None:
    """Raise UsageError unless `folder` is a folder or can be created."""
    nearest = next(p for p in (folder, *folder.parents) if os.path.lexists(p) or p == p.parent)
    if not nearest.is_dir():
        raise UsageError(f"--out {folder}: {nearest} is not a folder")


def write_evaluation(folder: Path, evaluations: Evaluations, env: EnvInfo) -> None:
    """Write evaluation.json and evaluation.png (paper, Fig. 5); create the folder if needed.

    Args:
        folder: a run directory, or any other folder.
        evaluations: see `evaluate_policies`; the figure shows the headline.
        env: the env of the episodes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_evaluation_file(folder / "evaluation.json", evaluations)
    figure, returns = folder / "evaluation.png", evaluations.headline.returns
    evaluation_figure(list(returns), figure, solved_return=env.solved_return)
