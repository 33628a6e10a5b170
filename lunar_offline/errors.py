"""Errors that a user can cause, each with the exit code that the command line gives it."""


class LunarOfflineError(Exception):
    """Something failed that is nobody's mistake: exit code 1."""

    exit_code = 1


class UsageError(LunarOfflineError, ValueError):
    """An option or argument that cannot be meant: exit code 2."""

    exit_code = 2


class RefusedError(LunarOfflineError):
    """A file, dataset or run that was looked at and refused: exit code 3."""

    exit_code = 3


class RemoteError(LunarOfflineError):
    """A remote that fails, refuses, or holds what it should not: exit code 4."""

    exit_code = 4


class DivergedError(LunarOfflineError):
    """A training run that cannot get better any more: exit code 1."""
