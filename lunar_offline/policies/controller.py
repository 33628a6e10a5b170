"""The policy `controller`: a feedback controller for the lander with discrete actions.

It has the structure of the heuristic in Gymnasium's `lunar_lander.py` (a target angle from the
horizontal error) with a target speed from the height, and 12 gains. They were tuned with the
cross-entropy method (Rubinstein 1999) over about 14,400 episodes. Its mean return over the 1,000
held-out seeds is 284.7 (`lunar-offline evaluate controller`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ANGLE_PER_X, ANGLE_PER_VX, MAX_ANGLE = 0.528, 0.836, 0.468
TURN_PER_ANGLE, TURN_PER_SPIN, MIN_TURN = 0.646, 0.900, 0.056
TOUCHDOWN_SPEED, SPEED_PER_ROOT, GROUND_PER_X = 0.061, 0.602, 1.155
LIFT_PER_SPEED, LIFT_OVER_TURN, MIN_LIFT = 0.524, 0.849, 0.004

NOTHING, LEFT, MAIN, RIGHT = range(4)


def controller_action(observation: NDArray[np.float32]) -> int:
    """Return the action at one observation, float32 [8].

    The lander turns towards an angle that brings it back to the pad, and fires the main engine
    if it sinks faster than a speed that falls with the root of the height.
    """
    x, y, vx, vy, angle, spin, left_leg, right_leg = observation.astype(np.float64)
    if left_leg and right_leg:
        return NOTHING
    target = np.clip(ANGLE_PER_X * x + ANGLE_PER_VX * vx, -MAX_ANGLE, MAX_ANGLE)
    turn = (target - angle) * TURN_PER_ANGLE - spin * TURN_PER_SPIN
    if left_leg or right_leg:
        turn = 0.0
    height = max(y - 0.1 * GROUND_PER_X * abs(x), 0.0)
    sinking = TOUCHDOWN_SPEED + SPEED_PER_ROOT * np.sqrt(height)
    lift = (-sinking - vy) * LIFT_PER_SPEED
    if lift > abs(turn) * LIFT_OVER_TURN and lift > MIN_LIFT:
        return MAIN
    if turn > MIN_TURN:
        return LEFT
    return RIGHT if turn < -MIN_TURN else NOTHING


def controller_act(
    observations: NDArray[np.float32], _rngs: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    """Return the actions [B] at observations [B, 8]; see `Act`."""
    return np.array([controller_action(row) for row in observations], dtype=np.int64)
