"""Datasets that are damaged or meant to harm: a name, what is done to a good one, and the reason.

Each damage takes the folder of a small good dataset, of which it may change anything. Kinds:
`discrete` and `continuous` are in HDF5 and have no manifest, nor has `arrow`, which is discrete;
`manifest` is `discrete` with its manifest.
"""

from hostile_datasets import arrays, arrow, files, links, manifest, metadata
from hostile_datasets.damage import (
    CASES,
    MARKER,
    Case,
    flip,
    hdf5_file,
    manifest_file,
    metadata_file,
)

assert all((arrays, arrow, files, links, manifest, metadata))  # they fill the table

__all__ = ["CASES", "MARKER", "Case", "flip", "hdf5_file", "manifest_file", "metadata_file"]
