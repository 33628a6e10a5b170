"""Algorithms, one file each with its config and learner; pure losses and penalties.

Shape suffixes: B batch, K critics, N actions of an action set, M proposals of a penalty,
P penalized rows, D observation size, A action size or number of actions.
"""
