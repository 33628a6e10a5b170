"""Pictures of chosen held-out episodes: gif, or mp4 where imageio is there."""

import io
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.rollout import rollout
from lunar_offline.errors import UsageError
from lunar_offline.experiment.evaluate import EVALUATION_SEED, STREAMS, policy_act
from lunar_offline.experiment.policy_file import load_policy
from lunar_offline.experiment.records import read_evaluation
from lunar_offline.files import write_atomic
from lunar_offline.transitions import Episode

FRAMES_PER_SECOND = 50
CHOICES = ("best", "median", "worst")


class _FrameRecorder(gym.Wrapper):
    """Keeps every `stride`-th rendered frame."""

    def __init__(self, env: gym.Env, frames: list[NDArray[np.uint8]], stride: int) -> None:
        super().__init__(env)
        self.frames, self.stride, self.steps = frames, stride, 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        result = self.env.reset(**kwargs)
        self._keep()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        self.steps += 1
        if self.steps % self.stride == 0 or result[2] or result[3]:
            self._keep()
        return result

    def _keep(self) -> None:
        frame: Any = self.env.render()
        self.frames.append(np.asarray(frame))


def film_episode(
    policy_path: Path, index: int, *, stride: int = 2
) -> tuple[list[NDArray[np.uint8]], Episode]:
    """Fly held-out episode `index` again and keep its frames.

    Args:
        policy_path: the policy's file.
        index: of the held-out episode, as in evaluation.json.
        stride: env steps per frame.

    Returns:
        RGB frames [H, W, 3], and the episode.
    """
    frames: list[NDArray[np.uint8]] = []
    stored = load_policy(policy_path)
    episode_purpose, action_purpose = STREAMS["evaluation"]
    (episode,) = rollout(
        lambda: _FrameRecorder(stored.env.make(render_mode="rgb_array"), frames, stride),
        policy_act(stored.policy, stochastic=False),
        seed=EVALUATION_SEED,
        episodes=range(index, index + 1),
        episode_purpose=episode_purpose,
        action_purpose=action_purpose,
    )
    return frames, episode


def choose(returns: list[float], which: str) -> int:
    """Return the index of the best, median or worst return.

    Raises:
        UsageError: `which` is none of the three, nor an index that is there.
    """
    order = np.argsort(returns, kind="stable")
    if which in CHOICES:
        return int(order[{"best": -1, "median": len(order) // 2, "worst": 0}[which]])
    if which.isdigit() and int(which) < len(returns):
        return int(which)
    raise UsageError(f"episode {which!r} is not {', '.join(CHOICES)} or 0 .. {len(returns) - 1}")


def film_run(run: Path, which: str, kind: str = "gif") -> tuple[Path, Episode]:
    """Film one held-out episode of an evaluated run into its directory.

    Raises:
        UsageError: the run was not evaluated yet, or the episode or kind is none.
        RefusedError: evaluation.json is damaged.
    """
    if kind not in ("gif", "mp4"):
        raise UsageError(f"format {kind!r} is not gif or mp4")
    source = run / "evaluation.json"
    if not os.path.lexists(source):
        raise UsageError(f"{run} has no evaluation.json; first: lunar-offline evaluate {run}")
    returns = [float(r) for r in read_evaluation(source)["returns"]]
    index = choose(returns, which)
    path = run / f"episode-{which}.{kind}"
    if kind == "mp4":
        _imageio()  # before the work, not after it
    frames, episode = film_episode(run / "policy.safetensors", index)
    (write_gif if kind == "gif" else _write_mp4)(frames, path)
    return path, episode


def write_gif(frames: list[NDArray[np.uint8]], path: Path, *, stride: int = 2) -> None:
    """Write frames as a looping gif at half size, in real time for `stride` env steps a frame."""
    from PIL import Image

    images = [Image.fromarray(frame).reduce(2).quantize(64) for frame in frames]
    content = io.BytesIO()
    images[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=1000 * stride // FRAMES_PER_SECOND,
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
            "or take --format gif"
        ) from None
    return v3


def _write_mp4(frames: list[NDArray[np.uint8]], path: Path) -> None:
    unfinished = path.with_name(
        f".{path.name}.{os.getpid()}.mp4"
    )  # what stands there may be a link
    _imageio().imwrite(unfinished, np.stack(frames), fps=FRAMES_PER_SECOND / 2)
    unfinished.replace(path)
