"""Groups, links and attributes in HDF5."""

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from hostile_datasets.damage import PASSWD, Damage, add, in_episode, in_hdf5, put


def _attribute(name: str, value: Any) -> Damage:
    return in_episode(lambda group: group.attrs.__setitem__(name, value))


def _no_attribute(name: str) -> Damage:
    return in_episode(lambda group: group.attrs.__delitem__(name))


def _swap(file: Any) -> None:
    for old, new in (("episode_0", "x"), ("episode_1", "episode_0"), ("x", "episode_1")):
        file.move(old, new)


def _infos(make: Callable[[Any], Any]) -> Damage:
    return in_episode(lambda group: make(group.require_group("infos")))


def _virtual(group: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.hdf5", "rewards", (4,))
    group.create_virtual_dataset("virtual", layout)


def _external_storage(name: str, dtype: str) -> Callable[[Any], None]:
    def change(group: Any) -> None:
        shape = group[name].shape if name in group else (2,)
        group.pop(name, None)
        group.create_dataset(name, shape, dtype, external=[(PASSWD, 0, h5py.h5f.UNLIMITED)])

    return change


ELSEWHERE = "keeps its values in another file"
LINK = "is a soft or external link"

add(
    "discrete",
    episode_missing=(
        in_hdf5(lambda f: f.pop("episode_2")),
        "holds 2 episodes, metadata.json states 3",
    ),
    episode_misnamed=(
        in_hdf5(lambda f: f.move("episode_1", "episode_7")),
        "episode_1: .* is missing",
    ),
    episodes_swapped=(in_hdf5(_swap), "episode_0: its attribute id is not 0"),
    episode_linked_twice=(
        in_hdf5(lambda f: (f.pop("episode_1"), f.__setitem__("episode_1", f["episode_0"]))),
        "episode_1: episode_1 is linked more than once",
    ),
    episode_an_array=(
        in_hdf5(lambda f: (f.pop("episode_1"), f.__setitem__("episode_1", np.zeros(3)))),
        "episode_1: episode_1 is not a group",
    ),
    episode_a_soft_link=(
        in_hdf5(
            lambda f: (f.pop("episode_1"), f.__setitem__("episode_1", h5py.SoftLink("/episode_0")))
        ),
        LINK,
    ),
    episode_an_external_link=(
        in_hdf5(
            lambda f: (
                f.pop("episode_1"),
                f.__setitem__("episode_1", h5py.ExternalLink(PASSWD, "/")),
            )
        ),
        LINK,
    ),
    a_link_cycle=(
        in_hdf5(
            lambda f: (f.pop("episode_1"), f.__setitem__("episode_1", h5py.SoftLink("/episode_1")))
        ),
        LINK,
    ),
    the_root_as_an_episode=(
        in_hdf5(lambda f: (f.pop("episode_1"), f.__setitem__("episode_1", f["/"]))),
        "holds 'episode_0', which Minari never writes",
    ),
    another_group=(in_hdf5(lambda f: f.create_group("episode_3")), "holds 4 episodes, metadata"),
    another_array=(
        in_hdf5(lambda f: f.__setitem__("more", np.zeros(3))),
        "holds 4 episodes, metadata",
    ),
    another_name=(in_episode(lambda g: g.__setitem__("more", np.zeros(3))), "holds 'more', which"),
    a_name_of_control_bytes=(
        in_episode(lambda g: g.__setitem__("\x1b[2J\nx", np.zeros(3))),
        r"holds '\\x1b\[2J\\nx', which",
    ),
    observations_missing=(in_episode(lambda g: g.pop("observations")), "observations is missing"),
    actions_missing=(in_episode(lambda g: g.pop("actions")), "actions is missing"),
    rewards_missing=(in_episode(lambda g: g.pop("rewards")), "rewards is missing"),
    terminations_missing=(in_episode(lambda g: g.pop("terminations")), "terminations is missing"),
    truncations_missing=(in_episode(lambda g: g.pop("truncations")), "truncations is missing"),
    field_linked_twice=(
        put("truncations", lambda g: g["terminations"]),
        "truncations is linked more than once",
    ),
    field_of_another_episode=(
        put("rewards", lambda g: g.parent["episode_0/rewards"]),
        "episode_1: rewards is linked more than once",
    ),
    field_a_group=(put("rewards", lambda g: g.create_group("infos/x")), "rewards is not an array"),
    field_a_type=(put("rewards", lambda _: np.dtype("f8")), "rewards is not an array"),
    field_a_soft_link=(put("rewards", lambda _: h5py.SoftLink("../episode_0/rewards")), LINK),
    field_an_external_link=(put("rewards", lambda _: h5py.ExternalLink("x.h5", "/rewards")), LINK),
    field_in_passwd=(in_episode(_external_storage("rewards", "u1")), ELSEWHERE),
    field_virtual=(
        put("rewards", lambda g: (_virtual(g), g.pop("virtual"))[1]),
        ELSEWHERE,
    ),
    infos_in_passwd=(_infos(_external_storage("x", "u1")), "x keeps its values in another file"),
    infos_virtual=(_infos(_virtual), "virtual keeps its values in another file"),
    infos_an_external_link=(
        _infos(lambda g: g.__setitem__("x", h5py.ExternalLink(PASSWD, "/"))),
        LINK,
    ),
    infos_a_cycle=(_infos(lambda g: g.__setitem__("x", g)), "x is linked more than once"),
    infos_deep=(_infos(lambda g: g.create_group("/".join("d" * 2000))), "nested too deep"),
    id_missing=(_no_attribute("id"), "its attribute id is missing"),
    id_of_another=(_attribute("id", 2), "its attribute id is not 1"),
    id_a_text=(_attribute("id", "1"), "its attribute id is not one integer"),
    seed_a_text=(_attribute("seed", "1"), "its attribute seed is not one integer"),
    seed_an_array=(_attribute("seed", np.arange(7000)), "its attribute seed is not one integer"),
    seed_a_number_in_an_array=(_attribute("seed", [1]), "its attribute seed is not one integer"),
    seed_a_float=(_attribute("seed", 1.0), "its attribute seed is not one integer"),
    seed_nothing=(_attribute("seed", h5py.Empty("i8")), "its attribute seed is not one integer"),
    seed_negative=(_attribute("seed", -5), "its attribute seed is negative"),
)
