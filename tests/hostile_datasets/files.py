"""Other things than files and folders in their places, and HDF5 that is none."""

import os
import shutil

from hostile_datasets.damage import add, flip, hdf5_file, in_bytes, moved, special_files, whole

add("discrete", **{f"hdf5_{n}": c for n, c in special_files(hdf5_file, "a sparse file").items()})
add(
    "discrete",
    hdf5_empty=(whole(hdf5_file, b""), "0 bytes cannot hold the 3 episodes"),
    hdf5_of_100_bytes=(in_bytes(hdf5_file, lambda b: b[:100]), "100 bytes cannot hold"),
    hdf5_of_4_kb=(in_bytes(hdf5_file, lambda b: b[:4096]), "truncated file"),
    hdf5_half=(in_bytes(hdf5_file, lambda b: b[: len(b) // 2]), "truncated file"),
    hdf5_less_one_byte=(in_bytes(hdf5_file, lambda b: b[:-1]), "truncated file"),
    hdf5_text=(whole(hdf5_file, b"episode\n" * 9999), "file signature not found"),
    hdf5_zip=(whole(hdf5_file, b"PK\x03\x04" * 9999), "file signature not found"),
    hdf5_zeros=(in_bytes(hdf5_file, lambda b: bytes(len(b))), "file signature not found"),
    hdf5_flipped_signature=(in_bytes(hdf5_file, lambda b: flip(b, 1)), "file signature not found"),
    hdf5_flipped_version=(in_bytes(hdf5_file, lambda b: flip(b, 8)), "superblock"),
    hdf5_behind_other_bytes=(
        in_bytes(hdf5_file, lambda b: b"#!/bin/sh\n".ljust(512) + b),
        "user block",
    ),
)

add(
    "discrete",
    data_folder_missing=(lambda f: shutil.rmtree(f / "data"), "No such file"),
    data_folder_a_link=(moved(lambda f: f / "data"), "a symbolic link redirects its data"),
    data_folder_a_file=(
        lambda f: (shutil.rmtree(f / "data"), (f / "data").touch()),
        r"data/metadata\.json: Not a directory",
    ),
    dataset_a_link=(moved(lambda f: f), "a symbolic link redirects its data"),
    dataset_a_file=(lambda f: (shutil.rmtree(f), f.touch()), "not a folder"),
    dataset_a_link_to_itself=(lambda f: (shutil.rmtree(f), f.symlink_to(f)), "not a folder"),
    dataset_a_pipe=(lambda f: (shutil.rmtree(f), os.mkfifo(f)), "not a folder"),
)
