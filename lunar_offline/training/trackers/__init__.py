"""Trackers: metrics.jsonl, which is the record of a run, and its mirrors.

TensorBoard is written by the training process. The adapters of Weights & Biases, trackio and MLflow
run in a process of their own, which follows metrics.jsonl, so that nothing they do reaches the
training.
"""
