"""Losses, networks and the agent. Knows torch; knows no env, no file and no rho.

Shape letters, used as suffixes: B batch, K critics, N actions of an action set, M proposals of a
penalty, D observation size, A action size or number of actions.
"""
