"""EnvInfo: one record that holds everything in which envs differ."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import DtypeObservation, TransformAction
from numpy.typing import NDArray

from lunar_offline.envs.action_range import is_unit, to_env_range
from lunar_offline.envs.env_kwargs import Allowed, PlainValue, checked_kwargs
from lunar_offline.errors import LunarOfflineError
from lunar_offline.transitions import Episode, Transitions, transition_dtype


@dataclass(frozen=True)
class ReferenceScores:
    """Mean returns of two policies, which define 0 and 100 of the normalized score.

    Attributes:
        random: of uniform random actions; a normalized score of 0.
        expert: of the bundled expert policy; a normalized score of 100.
    """

    random: float
    expert: float


def _plain_outcome(last_reward: float, terminated: bool) -> str:
    return "terminated" if terminated else "truncated"


Measures = Mapping[str, float | Mapping[str, float]]
"""Measures of episodes by name; one that consists of parts is a table of them."""


def _no_measures(episodes: Sequence[Episode]) -> Measures:
    return {}


@dataclass(frozen=True, eq=False)
class EnvInfo:
    """An env that this project can make, with everything that is known about it.

    Example:
        >>> import lunar_offline as lo
        >>> env = lo.load_policy("expert").env
        >>> env.env_id, env.discrete, env.observation_size
        ('LunarLander-v3', True, 8)

    Learners receive observations as float32 [D], and actions as int64 or as float32 [A] in
    [-1, 1]. `make` and the dataset reader convert to and from the env's own ranges.

    Two records are equal if their ids and keyword arguments are. The fields after `action_space`
    have defaults that suit any env with vector observations.

    Attributes:
        env_id: id in gymnasium's registry.
        kwargs: keyword arguments of `gym.make` that define the record, such as the action space.
        observation_space: the env's own space: one vector.
        action_space: the env's own space: discrete from 0, or one bounded vector.
        settings: further keyword arguments of `gym.make`; see `with_settings`.
        default_kwargs: keyword arguments at their defaults, which a dataset's spec may state too.
        allowed_settings: the settings that the env has, by name; None allows any plain value.
        outcomes: the ways in which an episode can end.
        name_outcome: (last reward, whether the env terminated) -> one of `outcomes`.
        measures: held-out episodes -> measures in addition to returns and lengths, by name; plain
            numbers.
        solved_return: the return from which an episode counts as solved.
        reference_scores: mean returns of the random and the expert policy.
        max_value: bound on the absolute value of any return; critics beyond it have diverged.
        invariant_rewards: (rewards [N], next observations [N, D], terminations [N], discount) ->
            rewards [N] whose shaping is invariant under that discount; None if none is known.
        outcomes_note: explanation of the outcomes on a dataset's page.
        observation_names: one per entry of an observation.
        flag_labels: the meanings of 0 and of 1, by name of an entry that is a flag.
        action_names: one per discrete action, or per action dimension.
        requirements: packages whose versions a dataset pins.
        url: documentation of the env.
        episodes_section: draws a section with the episodes for a dataset's page.
        actions_section: draws a section with the actions [N, A] for a dataset's page.
    """

    env_id: str
    kwargs: Mapping[str, PlainValue]
    observation_space: spaces.Box
    action_space: spaces.Discrete | spaces.Box
    settings: Mapping[str, PlainValue] = field(default_factory=dict)
    default_kwargs: Mapping[str, PlainValue | None] = field(default_factory=dict)
    allowed_settings: Mapping[str, Allowed] | None = field(default_factory=dict)
    outcomes: tuple[str, ...] = ("terminated", "truncated")
    name_outcome: Callable[[float, bool], str] = _plain_outcome
    measures: Callable[[Sequence[Episode]], Measures] = _no_measures
    solved_return: float | None = None
    reference_scores: ReferenceScores | None = None
    max_value: float | None = None
    invariant_rewards: (
        Callable[
            [NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], float],
            NDArray[np.float32],
        ]
        | None
    ) = None
    outcomes_note: str = ""
    observation_names: tuple[str, ...] = ()
    flag_labels: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    action_names: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ("gymnasium",)
    url: str = ""
    episodes_section: Callable[[Sequence[Episode], Sequence[str]], str] | None = None
    actions_section: Callable[[NDArray[np.float64]], str] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EnvInfo):
            return NotImplemented
        return (self.env_id, self.all_kwargs) == (other.env_id, other.all_kwargs)

    def __hash__(self) -> int:
        return hash((self.env_id, *sorted(self.all_kwargs.items())))

    @property
    def all_kwargs(self) -> dict[str, PlainValue]:
        """The keyword arguments of `gym.make`: `kwargs` and `settings`."""
        return {**self.kwargs, **self.settings}

    def with_settings(self, settings: Mapping[str, object]) -> "EnvInfo":
        """Return this env with other settings; those that are not given keep their values.

        Reference scores hold for the default settings alone, so a changed env has none.

        Args:
            settings: plain values by name, such as `{"enable_wind": True}`.

        Raises:
            UsageError: a setting is not allowed.
        """
        fixed = {**self.default_kwargs, **self.kwargs}  # stated, but without effect
        allowed = self.allowed_settings
        given = {
            name: value
            for name, value in settings.items()
            if allowed is None or name in allowed or fixed.get(name, ...) != value
        }
        checked = checked_kwargs(self.env_id, given, allowed)
        chosen = {**self.settings, **checked}
        chosen = {k: v for k, v in chosen.items() if v != self.default_kwargs.get(k, ...)}
        if chosen == self.settings:
            return self
        return replace(self, settings=chosen, reference_scores=None)

    @property
    def discrete(self) -> bool:
        """Whether the actions are discrete."""
        return isinstance(self.action_space, spaces.Discrete)

    @property
    def action_kind(self) -> str:
        """`discrete` or `continuous`."""
        return "discrete" if self.discrete else "continuous"

    @property
    def action_size(self) -> int:
        """Number of discrete actions, or of action dimensions."""
        space = self.action_space
        return int(space.n) if isinstance(space, spaces.Discrete) else space.shape[0]

    @property
    def observation_size(self) -> int:
        """Length of an observation."""
        return self.observation_space.shape[0]

    def transition_dtype(self) -> np.dtype:
        """Return the structured dtype of one transition, as learners receive it."""
        if self.discrete:
            return transition_dtype((self.observation_size,), (), np.int64)
        return transition_dtype((self.observation_size,), (self.action_size,), np.float32)

    def outcome(self, episode: Episode) -> str:
        """Return how an episode ended: one of `outcomes`."""
        return self.name_outcome(float(episode.rewards[-1]), bool(episode.terminations[-1]))

    def learned_rewards(
        self, rows: Transitions, discount: float, *, invariant: bool
    ) -> NDArray[np.float32]:
        """Return the rewards [N] to learn from: the recorded ones, or invariant ones if known.

        Args:
            rows: N transitions.
            discount: of the learned values.
            invariant: ask for rewards whose shaping is invariant under the discount.
        """
        if not invariant or self.invariant_rewards is None:
            return rows.rewards
        return self.invariant_rewards(
            rows.rewards, rows.next_observations, rows.terminations, discount
        )

    def random_action(self, rng: np.random.Generator) -> np.int64 | NDArray[np.float32]:
        """Draw a uniform action: an int64, or float32 [A] in [-1, 1]."""
        if self.discrete:
            return rng.integers(self.action_size)
        return rng.uniform(-1.0, 1.0, self.action_size).astype(np.float32)

    def spec(self) -> EnvSpec:
        """Return the spec in the local registry with the keyword arguments of this record."""
        spec = gym.spec(self.env_id)
        return EnvSpec(
            **{
                name: getattr(spec, name)
                for name in ("id", "entry_point", "reward_threshold", "max_episode_steps")
            },
            kwargs=self.all_kwargs,
        )

    def make(self, render_mode: str | None = None) -> gym.Env:
        """Make the env.

        Raises:
            LunarOfflineError: a package that the env needs is not installed.
        """
        kwargs: dict[str, Any] = {**self.all_kwargs}
        try:
            env = gym.make(self.env_id, render_mode=render_mode, disable_env_checker=True, **kwargs)
        except gym.error.DependencyNotInstalled as error:
            raise LunarOfflineError(f"{self.env_id} cannot be made: {error}") from error
        if self.observation_space.dtype != np.float32:
            env = DtypeObservation(env, np.float32)
        space = self.action_space
        if isinstance(space, spaces.Box) and not is_unit(space):
            unit = spaces.Box(-1.0, 1.0, space.shape, np.float32)
            env = TransformAction(env, partial(to_env_range, space), unit)
        return env
