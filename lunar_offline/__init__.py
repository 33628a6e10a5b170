"""Offline datasets and CQL-SAC for Gymnasium's LunarLander-v3, built on Minari."""

from importlib.metadata import version

__version__ = version("lunar-offline")
