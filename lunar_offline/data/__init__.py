"""Episodes, datasets and batches. Knows NumPy and HDF5; never torch."""
