"""Everything specific to LunarLander-v3: constants, rewards, outcomes, measures and records."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lunar_offline.envs import DEFAULT_ENV, lander_plots
from lunar_offline.envs.env_info import EnvInfo, Measures, ReferenceScores
from lunar_offline.envs.env_kwargs import Allowed, PlainValue
from lunar_offline.transitions import Episode

LANDING_REWARD = 100.0
LEGS_DOWN = 20.0  # the potential at rest in the middle of the pad
MAIN_ENGINE_COST = 0.30
SIDE_ENGINE_COST = 0.03
SOLVED_RETURN = 200.0  # Gymnasium's "solution"
MAX_VALUE = 5_000.0  # far larger than any return

DEFAULT_KWARGS: Mapping[str, PlainValue | None] = {
    "continuous": False,
    "render_mode": None,
    "gravity": -10.0,
    "enable_wind": False,
    "wind_power": 15.0,
    "turbulence_power": 1.5,
}

# Gymnasium refuses a gravity outside its range, and warns of stronger wind.
SETTINGS: Mapping[str, Allowed] = {
    "gravity": Allowed(float, -12.0, 0.0, open=True),
    "enable_wind": Allowed(bool),
    "wind_power": Allowed(float, 0.0, 20.0),
    "turbulence_power": Allowed(float, 0.0, 2.0),
}

OUTCOMES = ("landed", "crashed", "truncated")
OUTCOMES_NOTE = (
    "Landed: came to rest, +100. Crashed: the body touched the ground, or the lander left the "
    "screen, \u2212100. Truncated: ended by a limit of steps."
)
OBSERVATIONS = ("x", "y", "vx", "vy", "angle", "angular velocity", "left leg", "right leg")
DISCRETE_ACTIONS = ("nothing", "left engine", "main engine", "right engine")
CONTINUOUS_ACTIONS = ("main engine", "side engines")

# Mean returns over the 1000 held-out episodes, from the cards in datasets/policies.
DISCRETE_REFERENCE = ReferenceScores(random=-184.12260793972877, expert=266.927493605763)
CONTINUOUS_REFERENCE = ReferenceScores(random=-211.58614117875194, expert=267.5457381537747)


def shaping(observations: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lander's shaping potential at observations [..., 8].

    Each reward contains the difference of two potentials. Source: Gymnasium's lunar_lander.py.
    """
    o = np.asarray(observations, dtype=np.float64)
    return (
        -100.0 * np.hypot(o[..., 0], o[..., 1])
        - 100.0 * np.hypot(o[..., 2], o[..., 3])
        - 100.0 * np.abs(o[..., 4])
        + 10.0 * (o[..., 6] + o[..., 7])
    )


def invariant_rewards(
    rewards: NDArray[Any],
    next_observations: NDArray[Any],
    terminations: NDArray[np.bool_],
    discount: float,
) -> NDArray[np.float32]:
    """Return rewards whose shaping does not change the optimal policy under a discount.

    The env's rewards contain shaping(s') - shaping(s). Under a discount, these differences pay
    (1 - discount) * shaping(s) for every step spent at s. This payment is negative and as large as
    the engines' cost, so it favors states near the pad and low speed at any cost of fuel. With
    discount * shaping(s') - shaping(s), the shaping depends on the ends of the episode alone, and
    only fuel and outcome determine the optimal policy (Ng, Harada and Russell 1999). The reward of
    a termination, 100 or -100, contains no shaping and is unchanged.

    Args:
        rewards: [N].
        next_observations: [N, 8].
        terminations: bool [N].
        discount: of the learned values.

    Returns:
        float32 [N].
    """
    excess = (1.0 - discount) * shaping(next_observations)
    return (rewards - np.where(terminations, 0.0, excess)).astype(np.float32)


def return_bound(first_observations: NDArray[Any]) -> NDArray[np.float64]:
    """Return an upper bound on the episode return from first observations [..., 8].

    The shaping differences sum to at most 20 - shaping(s0), which is reached at rest on the pad
    with both legs down. The landing gives 100. The bound assumes that no fuel is burnt.
    """
    return LANDING_REWARD + LEGS_DOWN - shaping(first_observations)


def fuel(actions: NDArray[Any]) -> tuple[float, float]:
    """Return the cost of the main and of the side engines in an episode, in points of return.

    Args:
        actions: int [T], or float [T, 2], which is clipped to [-1, 1] as in the env.
    """
    if actions.ndim == 1:
        main = np.count_nonzero(actions == 2)
        side = np.count_nonzero((actions == 1) | (actions == 3))
        return MAIN_ENGINE_COST * main, SIDE_ENGINE_COST * side
    throttle, lateral = np.clip(actions.astype(np.float64), -1.0, 1.0).T
    main = np.where(throttle > 0, (throttle + 1) / 2, 0.0).sum()
    side = np.where(np.abs(lateral) > 0.5, np.abs(lateral), 0.0).sum()
    return float(MAIN_ENGINE_COST * main), float(SIDE_ENGINE_COST * side)


def outcome(last_reward: float, terminated: bool) -> str:
    """Return how an episode ended; a terminated one has exactly 100 or -100 as its last reward."""
    if not terminated:
        return "truncated"
    return "landed" if last_reward == LANDING_REWARD else "crashed"


def landing_measures(episodes: Sequence[Episode]) -> Measures:
    """Return the measures that are specific to LunarLander.

    `crash_rate` is the fraction of episodes that ended in a crash. `success_rate` is the fraction
    with a return of at least 200. `fuel` is the mean cost of both engines per episode, in points
    of return. `regret_to_bound` is the mean of 120 - shaping(s0) - return, the difference to a
    landing without fuel from the same start. `regret_parts` sum to it: the fuel of each kind of
    engine and the loss at rest (off the middle of the pad, a leg up, a tilt), both for landed
    episodes, and the complete regret of the episodes that did not land.
    """
    returns = np.array([e.episode_return for e in episodes])
    outcomes = [outcome(float(e.rewards[-1]), bool(e.terminations[-1])) for e in episodes]
    first = np.stack([e.observations[0] for e in episodes])
    # the env's last reward replaces the shaping and fuel of the last step
    before_end = np.stack([e.observations[-2] for e in episodes])
    burnt = np.array([fuel(e.actions[:-1]) for e in episodes])
    regret = return_bound(first) - returns
    fuel_used = np.array([fuel(e.actions) for e in episodes])
    landed = np.array([o == "landed" for o in outcomes])
    at_rest = np.where(landed, LEGS_DOWN - shaping(before_end), 0.0)
    return {
        "crash_rate": outcomes.count("crashed") / len(episodes),
        "success_rate": float((returns >= SOLVED_RETURN).mean()),
        "fuel": float(fuel_used.sum(1).mean()),
        "regret_to_bound": float(regret.mean()),
        "regret_parts": {
            "main_engine": float((landed * burnt[:, 0]).mean()),
            "side_engines": float((landed * burnt[:, 1]).mean()),
            "at_rest": float(at_rest.mean()),
            "not_landed": float((~landed * regret).mean()),
        },
    }


def _lander(action_space: spaces.Discrete | spaces.Box, **differences: Any) -> EnvInfo:
    high = np.array([2.5, 2.5, 10, 10, 2 * np.pi, 10, 1, 1], dtype=np.float32)
    low = np.concatenate([-high[:6], np.array([-0.0, -0.0], dtype=np.float32)])
    return EnvInfo(
        env_id=DEFAULT_ENV,
        observation_space=spaces.Box(low, high),
        action_space=action_space,
        default_kwargs=DEFAULT_KWARGS,
        allowed_settings=SETTINGS,
        outcomes=OUTCOMES,
        name_outcome=outcome,
        measures=landing_measures,
        solved_return=SOLVED_RETURN,
        max_value=MAX_VALUE,
        invariant_rewards=invariant_rewards,
        outcomes_note=OUTCOMES_NOTE,
        observation_names=OBSERVATIONS,
        flag_labels=dict.fromkeys(OBSERVATIONS[6:], ("in the air", "on the ground")),
        requirements=("gymnasium[box2d]", "box2d"),
        url="https://gymnasium.farama.org/environments/box2d/lunar_lander/",
        episodes_section=lander_plots.landings,
        **differences,
    )


DISCRETE = _lander(
    spaces.Discrete(4),
    kwargs={},
    reference_scores=DISCRETE_REFERENCE,
    action_names=DISCRETE_ACTIONS,
)
CONTINUOUS = _lander(
    spaces.Box(-1.0, 1.0, (2,), dtype=np.float32),
    kwargs={"continuous": True},
    reference_scores=CONTINUOUS_REFERENCE,
    action_names=CONTINUOUS_ACTIONS,
    actions_section=lander_plots.throttles,
)
ENVS = (DISCRETE, CONTINUOUS)
