"""Joins data and learning: configuration, the training loop, evaluation, run directories."""
