"""Offline datasets and CQL-SAC for Gymnasium's LunarLander-v3, built on Minari."""


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: importlib.metadata is a slow import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("lunar-offline")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
