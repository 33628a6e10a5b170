"""What the documents say exists, exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DERIVATION = (ROOT / "docs" / "derivation.md").read_text()
REFERENCES = sorted(set(re.findall(r"`(lunar_offline\.[\w.]+)`", DERIVATION)))


@pytest.mark.parametrize("reference", REFERENCES)
def test_the_derivations_references_exist(reference: str) -> None:
    parts = reference.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        assert found.__doc__
        return
    pytest.fail(f"{reference} is no module")


def test_the_derivation_goes_through_every_equation() -> None:
    named = {
        int(n) for n in re.findall(r"\d+", " ".join(re.findall(r"\*\*Eqs?\.[^*]+", DERIVATION)))
    }
    assert named == set(range(1, 18))
    assert len(REFERENCES) > 25


def test_linked_files_exist() -> None:
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
