"""The arrays in HDF5."""

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hostile_datasets.damage import (
    FINITE,
    FLAGS,
    RANGE,
    Damage,
    add,
    hdf5_file,
    in_episode,
    in_values,
    put,
    set_value,
)


def _made(name: str, **options: Any) -> Damage:
    """Make a field again with options of `create_dataset`."""

    def change(group: Any) -> None:
        values = group[name][()]
        del group[name]
        if "shape" not in options and "data" not in options:
            options["data"] = values
        group.create_dataset(name, **options)

    return in_episode(change)


def _typed(name: str, dtype: Any, **options: Any) -> Damage:
    """Make a field again of a type, with nothing written to it."""

    def change(group: Any) -> None:
        shape = group[name].shape
        del group[name]
        group.create_dataset(name, shape, dtype, **options)

    return in_episode(change)


def _flags(group: Any, at: int, value: bool) -> None:
    for name in ("terminations", "truncations"):
        group[name][at] = value


def _no_step(group: Any) -> None:
    for name in list(group):
        if isinstance(data := group.pop(name), h5py.Dataset):
            group[name] = data[: name == "observations"]


def _flag_of_2(group: Any) -> None:
    data = group["terminations"]
    raw = np.zeros(data.shape, np.uint8)
    raw[0] = 2
    # written as it is into the enumeration that stands for bool
    data.id.write(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=data.id.get_type())


def _bomb_of_zeros(group: Any) -> None:
    del group["rewards"]
    data = group.create_dataset("rewards", (10**8,), "f8", compression="gzip", chunks=(10**6,))
    data.id.write_direct_chunk((0,), zlib.compress(bytes(8 * 10**6), 9))


def _huge_chunk(group: Any) -> None:
    shape = group["observations"].shape
    del group["observations"]
    data = group.create_dataset(
        "observations", shape, "f4", chunks=(1 << 26, 8), maxshape=(None, 8), compression="gzip"
    )
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 20)))


def _short_chunk(group: Any) -> None:
    """A chunk that unpacks to less than it should: HDF5 takes the rest from its own memory."""
    shape = group["observations"].shape
    del group["observations"]
    data = group.create_dataset("observations", shape, "f4", chunks=shape, compression="gzip")
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(40)))


def _sparse_chunks(group: Any) -> None:
    values = group["observations"][()]
    del group["observations"]
    data = group.create_dataset("observations", values.shape, "f4", chunks=(4, 8))
    data[:4] = values[:4]


def _other_bits(name: str, plain: str, other: str) -> Damage:
    """Change a field's type where it stands in the file, to one of the same size."""

    def damage(folder: Path) -> None:
        low: Any = h5py  # its low-level modules have no types
        with low.File(hdf5_file(folder)) as file:
            at = low.h5o.get_info(file["episode_1"][name].id).addr
        content = bytearray(hdf5_file(folder).read_bytes())
        at = content.index(bytes.fromhex(plain), at)
        content[at : at + len(plain) // 2] = bytes.fromhex(other)
        hdf5_file(folder).write_bytes(content)

    return damage


OF = {name: f"{name} has shape" for name in ("observations", "actions", "rewards", "terminations")}
PACKED = "is compressed, which Minari never does"
STRUCT = np.dtype([("x", "f4"), ("y", "f4")])

add(
    "discrete",
    observations_as_many_as_actions=(
        in_values("observations", lambda v: v[:-1]),
        OF["observations"],
    ),
    observations_one_more=(
        in_values("observations", lambda v: np.vstack([v, v[:1]])),
        OF["observations"],
    ),
    observations_of_7=(in_values("observations", lambda v: v[:, :7]), OF["observations"]),
    observations_of_9=(
        in_values("observations", lambda v: v[:, [*range(8), 0]]),
        OF["observations"],
    ),
    observations_turned=(in_values("observations", lambda v: v.T), OF["observations"]),
    observations_flat=(in_values("observations", lambda v: v.ravel()), OF["observations"]),
    observations_of_rank_3=(in_values("observations", lambda v: v[..., None]), OF["observations"]),
    observations_a_number=(in_values("observations", lambda v: v[0, 0]), OF["observations"]),
    observations_nothing=(put("observations", lambda _: h5py.Empty("f4")), OF["observations"]),
    actions_of_rank_2=(in_values("actions", lambda v: v[:, None]), OF["actions"]),
    actions_one_less=(in_values("actions", lambda v: v[:-1]), OF["actions"]),
    rewards_one_more=(in_values("rewards", lambda v: np.append(v, 0.0)), "has shape"),
    rewards_of_rank_2=(in_values("rewards", lambda v: v[:, None]), OF["rewards"]),
    terminations_one_less=(in_values("terminations", lambda v: v[1:]), OF["terminations"]),
    no_step=(in_episode(_no_step), "episode_1: has no steps"),
    texts=(_typed("observations", "S8"), r"observations is of type \|S8"),
    texts_of_any_length=(_typed("observations", h5py.string_dtype()), "observations is of type"),
    compounds=(_typed("observations", STRUCT), r"observations is of type .*'x'"),
    arrays_of_any_length=(_typed("rewards", h5py.vlen_dtype("f4")), "rewards is of type"),
    references=(_typed("rewards", h5py.ref_dtype), "rewards is of type"),
    region_references=(_typed("rewards", h5py.regionref_dtype), "rewards is of type"),
    complex_numbers=(_typed("rewards", "c8"), "rewards is of type complex64"),
    half_precision=(in_values("observations", lambda v: v.astype("f2")), "of type float16"),
    extended_precision=(_typed("rewards", "f16"), "rewards is of type"),
    opaque=(_typed("rewards", "V8"), r"rewards is of type \|V8"),
    an_enumeration=(
        in_values("actions", lambda v: v.astype(h5py.enum_dtype({"A": 0, "B": 3}, "i8"))),
        "actions is of an enumerated type",
    ),
    whole_observations=(in_values("observations", lambda v: v.astype("i4")), "of type int32"),
    whole_rewards=(in_values("rewards", lambda v: v.astype("i8")), "rewards is of type int64"),
    actions_of_floats=(
        in_values("actions", lambda v: v.astype("f4")),
        "actions is of type float32",
    ),
    actions_of_flags=(in_values("actions", lambda v: v > 1), "actions is of type bool"),
    flags_of_numbers=(in_values("terminations", lambda v: v.astype("i1")), "is of type int8"),
    a_flag_of_2=(
        in_episode(_flag_of_2),
        "terminations holds a flag that is neither true nor false",
    ),
    an_observation_nan=(set_value("observations", (3, 2), np.nan), FINITE),
    an_observation_infinite=(set_value("observations", (-1, 0), np.inf), FINITE),
    a_reward_nan=(set_value("rewards", 0, np.nan), FINITE),
    a_reward_infinite=(set_value("rewards", -1, -np.inf), FINITE),
    an_observation_beyond_float32=(
        in_values("observations", lambda v: np.where(v == v[0], 1e39, v.astype("f8"))),
        FINITE,
    ),
    a_reward_beyond_float32=(set_value("rewards", 1, 1e300), FINITE),
    an_action_4=(set_value("actions", 5, 4), RANGE),
    an_action_negative=(set_value("actions", 5, -1), RANGE),
    an_action_huge=(in_values("actions", lambda v: np.where(v, 2**64 - 1, v.astype("u8"))), RANGE),
    end_in_the_middle=(set_value("terminations", 3, True), FLAGS),
    truncation_in_the_middle=(set_value("truncations", 3, True), FLAGS),
    both_flags_in_the_middle=(in_episode(lambda g: _flags(g, 3, True)), FLAGS),
    no_end=(in_episode(lambda g: _flags(g, -1, False)), FLAGS),
    # HDF5 reads other numbers of these than their bytes are elsewhere
    actions_in_the_upper_bytes=(
        _other_bits("actions", "100800000800000000004000", "100800000800000008003800"),
        "an array has an unsupported variant of the type int64",
    ),
    actions_of_fewer_bits=(
        _other_bits("actions", "100800000800000000004000", "100800000800000000003f00"),
        "an array has an unsupported variant of the type int64",
    ),
    floats_of_another_bias=(
        _other_bits(
            "observations",
            "11201f000400000000002000170800177f000000",
            "11201f000400000000002000170800177e000000",
        ),
        "an array has an unsupported variant of the type float64",
    ),
    packed=(_made("rewards", compression="gzip"), PACKED),
    shuffled=(_made("rewards", shuffle=True), PACKED),
    checksummed=(_made("rewards", fletcher32=True), PACKED),
    packed_by_another_filter=(_made("rewards", compression="lzf"), PACKED),
    packed_by_yet_another=(_made("actions", scaleoffset=2), PACKED),
    packed_to_less=(in_episode(_short_chunk), PACKED),
    a_shape_of_1e12=(
        _made("rewards", shape=(10**12,), dtype="f8", chunks=(100,)),
        "1000000000000 rows",
    ),
    a_width_of_1e9=(
        _made("observations", shape=(70, 10**9), dtype="f4", chunks=(1, 1000)),
        OF["observations"],
    ),
    nothing_stored=(_typed("rewards", "f8"), r"rewards claims [\d,]+ bytes but stores 0"),
    a_chunk_of_2_gb_not_stored=(
        _typed("observations", "f4", chunks=(1 << 26, 8), maxshape=(None, 8)),
        r"observations claims [\d,]+ bytes but stores 0",
    ),
    chunks_missing=(in_episode(_sparse_chunks), r"claims [\d,]+ bytes but stores 128"),
    a_bomb=(
        _made("rewards", shape=(100, 10**6), dtype="f8", compression="gzip", chunks=(1, 10**6)),
        PACKED,
    ),
    a_bomb_of_zeros=(in_episode(_bomb_of_zeros), PACKED),
    a_chunk_of_2_gb=(in_episode(_huge_chunk), PACKED),
)
add(
    "continuous",
    an_action_of_1_5=(set_value("actions", (2, 1), 1.5), RANGE),
    an_action_of_less=(set_value("actions", (2, 0), -1.0001), RANGE),
    an_action_nan=(set_value("actions", (2, 0), np.nan), RANGE),
    an_action_infinite=(set_value("actions", (2, 0), np.inf), RANGE),
    actions_of_3=(in_values("actions", lambda v: v[:, [0, 1, 1]]), OF["actions"]),
    actions_of_rank_1=(in_values("actions", lambda v: v[:, 0]), OF["actions"]),
    actions_whole=(in_values("actions", lambda v: v.astype("i8")), "actions is of type int64"),
)
