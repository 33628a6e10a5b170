"""The algorithms: one file each, with its config, its learner and its registration.

The registry finds every file here. The files import torch from `agents.lazy_imports`, so that the
command line can read all options without importing torch.
"""
