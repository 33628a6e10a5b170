"""Algorithms of installed packages: a few that are broken, next to one that is not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lunar_offline.agents import installed_algorithms as installed
from lunar_offline.agents.registry import (
    algorithm_names,
    algorithms,
    find_algorithm,
    register_algorithm,
    shipped_algorithms,
)
from lunar_offline.errors import LunarOfflineWarning, UsageError

ROOT = Path(__file__).parents[2]
CODE = """
from dataclasses import replace
from lunar_offline.agents.registry import find_algorithm
ALGORITHM = replace(find_algorithm("bc"), name={name!r})
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package with one module and one entry point."""
    caches = (installed._entry_points, installed._loaded, installed._skip)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(package: str, *, name: str, code: str, attribute: str = "ALGORITHM") -> Path:
        site = tmp_path / package
        about = site / f"{package}-1.0.dist-info"
        about.mkdir(parents=True)
        (site / f"module_of_{package}.py").write_text(code)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(
            f"[lunar_offline.algorithms]\n{name} = module_of_{package}:{attribute}\n"
        )
        monkeypatch.syspath_prepend(site)
        for cache in caches:
            cache.cache_clear()
        return site

    yield make
    for cache in caches:
        cache.cache_clear()
    for module in [module for module in sys.modules if module.startswith("module_of_")]:
        del sys.modules[module]


def test_nothing_is_installed_in_the_tests_environment() -> None:
    assert installed.names() == []
    assert algorithm_names() == sorted(shipped_algorithms()) == list(algorithms())


def test_an_installed_algorithm_is_found_by_its_name(install: Install) -> None:
    install("mine", name="mine", code=CODE.format(name="mine"))
    assert "mine" in algorithm_names()
    assert "module_of_mine" not in sys.modules  # names need no import
    assert find_algorithm("bc").name == "bc"
    assert "module_of_mine" not in sys.modules
    found = find_algorithm("mine")
    assert found.name == "mine"
    assert found.learner is find_algorithm("bc").learner
    assert list(algorithms()) == algorithm_names()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('one\\ntwo')", "ValueError: one$"),
        ("def f(:", "SyntaxError: "),
        ("OTHER = 1", "AttributeError: .* has no attribute 'ALGORITHM'"),
        ("ALGORITHM = 1", "1 is not an Algorithm"),
        (CODE.format(name="other"), "its own name is 'other'"),
    ],
)
def test_a_broken_one_is_skipped_with_a_line(install: Install, code: str, reason: str) -> None:
    install("fine", name="fine", code=CODE.format(name="fine"))
    install("broken", name="mine", code=code)
    line = rf"^algorithm 'mine' of broken is skipped: {reason}"
    with pytest.warns(LunarOfflineWarning, match=line) as warned:
        assert "mine" not in algorithms()
    assert len(warned) == 1
    assert "\n" not in str(warned[0].message)
    assert "fine" in algorithms()  # and there is no second warning
    with pytest.raises(UsageError, match="'mine' is not one of bc, cql-qr, cql-sac, fine, iql"):
        find_algorithm("mine")


def test_a_name_of_this_package_is_taken(install: Install) -> None:
    install("thief", name="cql-sac", code=CODE.format(name="cql-sac"))
    with pytest.warns(
        LunarOfflineWarning, match="'cql-sac' of thief is skipped: the name is taken"
    ):
        assert algorithms()["cql-sac"] is shipped_algorithms()["cql-sac"]


def test_two_packages_with_one_name_are_both_skipped(install: Install) -> None:
    for package in ("one", "two"):
        install(package, name="mine", code=CODE.format(name="mine"))
    with pytest.warns(LunarOfflineWarning) as warned:
        assert "mine" not in algorithms()
    assert sorted(str(w.message) for w in warned) == [
        "algorithm 'mine' of one is skipped: two has one with this name too",
        "algorithm 'mine' of two is skipped: one has one with this name too",
    ]


def test_a_module_that_registers_itself_too_is_no_clash(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lunar_offline.agents.registry._called", {})
    install("both", name="both", code=CODE.format(name="both"))
    register_algorithm(find_algorithm("both"))
    assert algorithms()["both"] is find_algorithm("both")


def test_the_command_line_prints_one_line(install: Install) -> None:
    site = install("broken", name="mine", code="raise ValueError('why')")
    done = subprocess.run(
        [sys.executable, "-m", "lunar_offline_cli", "train", "--algorithm", "no"],
        env=os.environ | {"PYTHONPATH": f"{site}:{ROOT}:{ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    warned, failed = done.stderr.splitlines()
    assert warned == "lunar-offline: algorithm 'mine' of broken is skipped: ValueError: why"
    assert failed.startswith("lunar-offline: algorithm 'no' is not one of bc, ")
