"""Configuration, the training loop, batches, run directories, metrics."""
