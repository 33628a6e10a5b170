"""Resolve rho, the offline fraction, to integer numbers of rows or episodes."""

import math

from lunar_offline.errors import UsageError


def check_rho(rho: float) -> None:
    """Raise UsageError unless 0 <= rho <= 1."""
    if not (math.isfinite(rho) and 0.0 <= rho <= 1.0):
        raise UsageError(f"rho {rho} is outside 0 .. 1 (it is the offline fraction of a batch)")


def split_batch(rho: float, batch_size: int) -> tuple[int, int]:
    """Return (n_offline, n_online) with the exact sum `batch_size`.

    n_offline is rho * batch_size, rounded to the nearest integer, with halves rounded up.

    Example:
        >>> import lunar_offline as lo
        >>> lo.split_batch(0.6, 256)
        (154, 102)

    Raises:
        UsageError: rho is outside [0, 1]; or 0 < rho < 1, but one of the numbers is 0.
    """
    check_rho(rho)
    n_offline = math.floor(rho * batch_size + 0.5)
    n_online = batch_size - n_offline
    if 0.0 < rho < 1.0 and 0 in (n_offline, n_online):
        raise UsageError(
            f"rho {rho} of a batch of {batch_size} is {n_offline} offline and {n_online} online "
            f"rows; use a larger batch, or rho {round(rho)}"
        )
    return n_offline, n_online


def buffer_mode_episodes(rho: float, online_episodes: int) -> int:
    """Return the number n of offline episodes for which n / (n + online_episodes) is rho.

    This is the definition of rho in section 3.3 of the paper, with one shared buffer.

    Raises:
        UsageError: rho is not in (0, 1), or n is rounded to 0.
    """
    check_rho(rho)
    if rho in (0.0, 1.0):
        raise UsageError("--rho-mode buffer needs 0 < rho < 1: it mixes both kinds of episodes")
    n = math.floor(rho / (1.0 - rho) * online_episodes + 0.5)
    if n == 0:
        raise UsageError(
            f"rho {rho} with {online_episodes} online episodes gives no offline episode"
        )
    return n
