"""A policy on fixed held-out seeds: returns, outcomes, fuel, regret to the bound."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lunar_offline import envs
from lunar_offline.data.rollout import Act, rollout
from lunar_offline.envs import EnvInfo
from lunar_offline.experiment.stats import interquartile_mean
from lunar_offline.learn.policies import Policy, act
from lunar_offline.seeding import Purpose
from lunar_offline.transitions import Episode

EVALUATION_SEED = 0
WINDOW = 100
SOLVED_RETURN = 200.0

STREAMS = {
    "validation": (Purpose.VALIDATION_EPISODE, Purpose.VALIDATION_ACTION),
    "evaluation": (Purpose.EVALUATION_EPISODE, Purpose.EVALUATION_ACTION),
}


def policy_act(policy: Policy, *, stochastic: bool) -> Act:
    """Wrap a policy as it is now, as the plain function that rollouts take; it can be pickled.

    It computes in float64 and rounds once, to an action: the last bits of a float32 product differ
    between makers and generations of CPUs, and a lander that is steered by them lands elsewhere.
    """
    policy = copy.deepcopy(policy).double()
    return partial(act, policy) if stochastic else partial(_act_deterministically, policy)


def _act_deterministically(
    policy: Policy, observations: NDArray[np.float32], _rngs: Sequence[np.random.Generator]
) -> NDArray[Any]:
    return act(policy, observations, None)


def fly(
    env: EnvInfo,
    act: Act,
    episodes: int,
    *,
    stream: str = "evaluation",
    workers: int = 1,
    on_episode: Callable[[Episode], None] = lambda _: None,
) -> list[Episode]:
    """Fly `episodes` episodes on the fixed seeds of a stream.

    The seeds depend on the stream alone, never on a run's seed: every method meets the same
    moons. `validation` seeds choose among a run's policies; `evaluation` seeds only judge.
    `workers` processes share the episodes; the bits do not depend on how many.
    """
    episode_purpose, action_purpose = STREAMS[stream]
    flown = []
    for episode in rollout(
        env.make,
        act,
        workers=workers,
        prepare=partial(torch.set_num_threads, 1),
        seed=EVALUATION_SEED,
        episodes=range(episodes),
        episode_purpose=episode_purpose,
        action_purpose=action_purpose,
    ):
        on_episode(episode)
        flown.append(episode)
    return flown


def window_means(returns: NDArray[np.float64], window: int = WINDOW) -> NDArray[np.float64]:
    """Return the mean of every run of `window` consecutive returns: [n - window + 1].

    With fewer than `window` episodes, the one mean over all of them.
    """
    window = min(window, len(returns))
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    return (sums[window:] - sums[:-window]) / window


def outcome(episode: Episode) -> str:
    """Return `landed`, `crashed` or `truncated`."""
    return envs.outcome(float(episode.rewards[-1]), terminated=bool(episode.terminations[-1]))


def summarise(episodes: list[Episode], env: EnvInfo) -> dict[str, Any]:
    """Return the measures of `evaluation.json`, plain Python numbers.

    `frames` are env steps per episode, `min_window_100` the worst mean of 100 consecutive episodes;
    for the lander see `_of_landings` too.
    """
    returns = np.array([e.episode_return for e in episodes])
    outcomes = [env.outcome(e) for e in episodes]
    names = envs.OUTCOMES if env.is_lander else ("terminated", "truncated")
    return {
        "episodes": len(episodes),
        "mean": float(returns.mean()),
        "iqm": interquartile_mean(returns),
        "sd": float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        "min": float(returns.min()),
        "min_window_100": float(window_means(returns).min()),
        "outcomes": {name: outcomes.count(name) for name in names},
        "frames": float(np.mean([len(e) for e in episodes])),
        **(_of_landings(episodes, returns, outcomes) if env.is_lander else {}),
        "returns": [float(r) for r in returns],
        "seeds": [e.seed for e in episodes],
    }


def _of_landings(
    episodes: list[Episode], returns: NDArray[np.float64], outcomes: list[str]
) -> dict[str, Any]:
    """Return what is known of landers alone.

    `crash_rate` is the share that ended in a crash, `success_rate` the share with a return of at
    least 200 (Gymnasium's "solution"), `fuel` the mean per episode in points of return,
    `regret_to_bound` the mean of 120 - shaping(s0) - return. `regret_parts` add up to it: the
    engines' fuel and what a landed episode lacks at rest (off the pad's middle, a leg up, a tilt),
    and all of the regret of episodes that did not land.
    """
    first = np.stack([e.observations[0] for e in episodes])
    # the end's reward stands in place of the last step's own, its potential and fuel included
    before_end = np.stack([e.observations[-2] for e in episodes])
    burnt = np.array([envs.fuel(e.actions[:-1]) for e in episodes])
    regret = envs.return_bound(first) - returns
    fuel = np.array([envs.fuel(e.actions) for e in episodes])
    landed = np.array([o == "landed" for o in outcomes])
    at_rest = np.where(landed, envs.LEGS_DOWN - envs.shaping(before_end), 0.0)
    return {
        "crash_rate": outcomes.count("crashed") / len(episodes),
        "success_rate": float((returns >= SOLVED_RETURN).mean()),
        "fuel": float(fuel.sum(1).mean()),
        "regret_to_bound": float(regret.mean()),
        "regret_parts": {
            "main_engine": float((landed * burnt[:, 0]).mean()),
            "side_engines": float((landed * burnt[:, 1]).mean()),
            "at_rest": float(at_rest.mean()),
            "not_landed": float((~landed * regret).mean()),
        },
    }
