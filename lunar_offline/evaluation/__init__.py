"""Rollouts on held-out seeds, with their measures, figures and videos."""
