"""Videos of held-out episodes: gif, or mp4 if imageio is installed."""

import io
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.envs.rollout import rollout
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.evaluate import evaluate_policy
from lunar_offline.evaluation.evaluation_file import read_evaluation
from lunar_offline.evaluation.held_out_seeds import EVALUATION_SEED, STREAMS
from lunar_offline.policies.behavior import BehaviorPolicy, behavior_policy
from lunar_offline.progress import Observer
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.transitions import Episode

STEPS_PER_SECOND = 50
STRIDE = 2  # env steps per frame
CHOICES = ("best", "median", "worst")
SEARCHED = 100  # held-out episodes among which the best, median and worst are found
MOST_EPISODES = 10_000_000


def film_episode(policy: BehaviorPolicy, index: int) -> tuple[list[NDArray[np.uint8]], Episode]:
    """Run held-out episode `index` again and record its frames.

    Args:
        policy: the deterministic policy that was evaluated.
        index: index of the held-out episode in evaluation.json.

    Returns:
        RGB frames, uint8 [H, W, 3] each, and the episode.
    """
    frames: list[NDArray[np.uint8]] = []
    steps = itertools.count()

    def keep(env: gym.Env, ended: bool) -> None:
        if next(steps) % STRIDE == 0 or ended:
            frame: Any = env.render()
            if frame is None:
                raise UsageError(f"{policy.env.env_id} draws no pictures")
            frames.append(np.asarray(frame))

    episode_purpose, action_purpose = STREAMS["evaluation"]
    (episode,) = rollout(
        partial(policy.env.make, render_mode="rgb_array"),
        policy.act,
        seed=EVALUATION_SEED,
        episodes=range(index, index + 1),
        episode_purpose=episode_purpose,
        action_purpose=action_purpose,
        on_step=keep,
    )
    return frames, episode


def choose(returns: list[float], which: str) -> int:
    """Return the index of the best, median or worst return, or the index that is given.

    Raises:
        UsageError: `which` is neither `best`, `median`, `worst` nor the index of an episode.
    """
    if which in CHOICES:
        order = np.argsort(returns, kind="stable")
        return int(order[{"best": -1, "median": len(order) // 2, "worst": 0}[which]])
    if which.isascii() and which.isdigit() and int(which) < MOST_EPISODES:
        return int(which)
    raise UsageError(f"episode {which!r:.80} is not {', '.join(CHOICES)} or a number from 0")


def check_request(chosen: Sequence[str], kind: str) -> None:
    """Raise UsageError for an episode that cannot be one, or a kind of file that is unknown."""
    for which in chosen:
        choose([0.0], which)
    if kind not in ("gif", "mp4"):
        raise UsageError(f"format {kind!r:.80} is not gif or mp4")
    if kind == "mp4":
        _imageio()  # fail before the rollout, not after it


@dataclass(frozen=True)
class Subject:
    """A policy to film.

    Attributes:
        name: of its files.
        folder: where its videos are written.
        policy: the deterministic policy.
        returns: of its evaluation, from held-out episode 0; empty if there is none.
    """

    name: str
    folder: Path
    policy: BehaviorPolicy
    returns: list[float]

    def with_settings(self, settings: Mapping[str, PlainValue]) -> Self:
        """Return it in its env with other settings, for which it has no evaluation."""
        policy = self.policy.with_settings(settings)
        return self if policy is self.policy else replace(self, policy=policy, returns=[])

    def measured(self, observer: Observer, *, workers: int = 1) -> Self:
        """Return it with the returns of the first SEARCHED held-out episodes."""
        found = evaluate_policy(self.policy, SEARCHED, workers=workers, observer=observer)
        return replace(self, returns=list(found.returns))


def find_subject(
    name: str,
    *,
    discrete: bool | None = None,
    env: EnvInfo | None = None,
    trust: bool = False,
) -> Subject:
    """Find a policy to film.

    Args:
        name: a run directory, whose videos are written into it, or any other policy; see
            `behavior_policy`.
        discrete: see `behavior_policy`.
        env: the env that the user named; None accepts any known env.
        trust: see `behavior_policy`.

    Raises:
        UsageError: there is no such policy.
        RefusedError: the policy file or evaluation.json is damaged.
    """
    policy = behavior_policy(name, discrete=discrete, stochastic=False, env=env, trust=trust)
    run = Path(name)
    if not run.is_dir():
        stem = re.sub(r"[^-\w.]+", "-", policy.name)
        return Subject(stem, Path(), policy, [])
    source, returns = run / "evaluation.json", []
    if os.path.lexists(source):
        returns = list(read_evaluation(source).headline.returns)
    return Subject("episode", run, policy, returns)


def film(
    subject: Subject, which: str, kind: str = "gif", *, against: BehaviorPolicy | None = None
) -> tuple[Path, list[Episode]]:
    """Write a video of one held-out episode.

    Args:
        subject: the policy. Its returns are needed unless `which` is an index.
        which: `best`, `median`, `worst`, or the index of a held-out episode.
        kind: `gif` or `mp4`.
        against: a deterministic policy that is shown on the right, from the same start; its video
            stays at its last frame until the other one ends, or the other way round.

    Returns:
        The path of the video, and the episode of each policy.

    Raises:
        UsageError: the episode or the kind is unknown, the policies have different envs, or the env
            draws no pictures.
    """
    check_request([which], kind)
    policies = [subject.policy, *([against] if against else [])]
    if against is not None and against.env.env_id != subject.policy.env.env_id:
        raise UsageError(
            f"--against {against.name}: is for {against.env.env_id}, not "
            f"{subject.policy.env.env_id}"
        )
    index = choose(subject.returns, which)
    filmed = [film_episode(policy, index) for policy in policies]
    frames = filmed[0][0] if against is None else _side_by_side([f for f, _ in filmed])
    beside = re.sub(r"[^-\w.]+", "-", f"-against-{against.name}") if against else ""
    path = subject.folder / f"{subject.name}-{which}{beside}.{kind}"
    (write_gif if kind == "gif" else _write_mp4)(frames, path)
    return path, [episode for _, episode in filmed]


def _side_by_side(films: list[list[NDArray[np.uint8]]]) -> list[NDArray[np.uint8]]:
    """Join the frames of two films from left to right; the shorter one stays at its last frame."""
    longest = max(map(len, films))
    padded = [frames + frames[-1:] * (longest - len(frames)) for frames in films]
    return [np.concatenate(pair, axis=1) for pair in zip(*padded, strict=True)]


def write_gif(frames: list[NDArray[np.uint8]], path: Path) -> None:
    """Write frames as a looping gif at half size, in real time."""
    from PIL import Image

    images = [Image.fromarray(frame).reduce(2).quantize(64) for frame in frames]
    content = io.BytesIO()
    images[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=1000 * STRIDE // STEPS_PER_SECOND,
        loop=0,
        optimize=True,
    )
    write_atomic(path, content.getvalue())


def _imageio() -> Any:
    try:
        import imageio_ffmpeg  # noqa: F401  # pyright: ignore[reportMissingImports]
        from imageio import v3  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UsageError(
            "mp4 needs an extra: pip install 'lunar-offline[video]' -c constraints.txt; "
            "or use --format gif"
        ) from None
    return v3


def _write_mp4(frames: list[NDArray[np.uint8]], path: Path) -> None:
    # do not write to `path` itself, which may be a link
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.mp4")
    _imageio().imwrite(unfinished, np.stack(frames), fps=STEPS_PER_SECOND / STRIDE)
    unfinished.replace(path)
