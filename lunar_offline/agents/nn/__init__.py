"""Networks, policies, critics and the optimizer."""
