"""Offline datasets and CQL-SAC for Gymnasium's LunarLander-v3, built on Minari."""


def __getattr__(name: str) -> str:
    """Return the version on first use, because importing importlib.metadata is slow."""
    if name == "__version__":
        from importlib.metadata import version

        return version("lunar-offline")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
