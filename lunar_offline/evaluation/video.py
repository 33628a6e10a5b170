"""Videos of held-out episodes: gif, or mp4 if imageio is installed."""

import io
import itertools
import os
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.rollout import rollout
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.evaluation_file import read_evaluation
from lunar_offline.evaluation.held_out_seeds import EVALUATION_SEED, STREAMS
from lunar_offline.policies.behavior import BehaviorPolicy, policy_of_file
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.transitions import Episode

STEPS_PER_SECOND = 50
STRIDE = 2  # env steps per frame
CHOICES = ("best", "median", "worst")


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
    """Return the index of the best, median or worst return.

    Raises:
        UsageError: `which` is neither `best`, `median`, `worst` nor the index of an episode.
    """
    order = np.argsort(returns, kind="stable")
    if which in CHOICES:
        return int(order[{"best": -1, "median": len(order) // 2, "worst": 0}[which]])
    if which.isdigit() and int(which) < len(returns):
        return int(which)
    raise UsageError(f"episode {which!r} is not {', '.join(CHOICES)} or 0 .. {len(returns) - 1}")


def film_run(
    run: Path, which: str, kind: str = "gif", *, env: EnvInfo | None = None
) -> tuple[Path, Episode]:
    """Write a video of one held-out episode of an evaluated run into its directory.

    Args:
        run: the run directory.
        which: `best`, `median`, `worst`, or an index.
        kind: `gif` or `mp4`.
        env: the env that the user named; None accepts any registered env.

    Returns:
        The path of the video, and the episode.

    Raises:
        UsageError: the run has not been evaluated, the episode does not exist, or the kind is
            unknown.
        RefusedError: evaluation.json is damaged.
    """
    if kind not in ("gif", "mp4"):
        raise UsageError(f"format {kind!r} is not gif or mp4")
    source = run / "evaluation.json"
    if not os.path.lexists(source):
        raise UsageError(f"{run} has no evaluation.json; first run: lunar-offline evaluate {run}")
    returns = [float(r) for r in read_evaluation(source)["returns"]]
    index = choose(returns, which)
    path = run / f"episode-{which}.{kind}"
    if kind == "mp4":
        _imageio()  # fail before the rollout, not after it
    policy = policy_of_file(run / "policy.safetensors", stochastic=False, env=env)
    frames, episode = film_episode(policy, index)
    (write_gif if kind == "gif" else _write_mp4)(frames, path)
    return path, episode


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
