"""The errors of the library, each with the exit code of the command line, and its warning."""


class LunarOfflineError(Exception):
    """Base class; raised by itself for a failure that the user did not cause: exit code 1.

    Example:
        >>> import lunar_offline as lo
        >>> try:
        ...     lo.load_dataset("missing-v7")
        ... except lo.LunarOfflineError as error:
        ...     print(type(error).__name__)
        UsageError
    """

    exit_code = 1


class UsageError(LunarOfflineError, ValueError):
    """An invalid option or argument: exit code 2."""

    exit_code = 2


class RefusedError(LunarOfflineError):
    """A file, dataset or run that fails a check: exit code 3."""

    exit_code = 3


class UnregisteredEnvError(RefusedError):
    """A file that states an env which is not registered, and which the user has not named yet."""


class RemoteError(LunarOfflineError):
    """A remote that fails, refuses a request or holds invalid data: exit code 4."""

    exit_code = 4


class DivergedError(LunarOfflineError):
    """A training run that has diverged: exit code 1."""


class LunarOfflineWarning(UserWarning):
    """What the user should know, but what stops nothing; the command line prints it as one line."""
