"""Env records, the registry of envs, LunarLander, and the env loop."""

DEFAULT_ENV = "LunarLander-v3"
"""The env that is used if the user names none."""
