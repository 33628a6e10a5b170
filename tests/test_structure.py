"""The structure that DESIGN promises: no import circle, small rooms, short files."""

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lunar_offline", "cli/lunar_offline_cli")
MOST_FILES = 18
MOST_LINES = 300


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph("lunar_offline", "lunar_offline_cli")
    imports = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' -> '.join(error.args[1])}")


def test_no_room_is_overfull() -> None:
    rooms = Counter(path.parent for path in sources() if path.name != "__init__.py")
    assert {str(room): n for room, n in rooms.items() if n > MOST_FILES} == {}


def test_no_file_is_overlong() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}
    assert not any(path.name == "utils.py" for path in sources())


def test_every_room_of_tests_mirrors_one_of_the_package() -> None:
    beside = {"cli", "learning", "hostile_datasets", "__pycache__"}
    for folder in (path for path in (ROOT / "tests").rglob("*") if path.is_dir()):
        name = folder.relative_to(ROOT / "tests")
        if not beside & set(name.parts):
            assert (ROOT / "lunar_offline" / name).is_dir(), name
