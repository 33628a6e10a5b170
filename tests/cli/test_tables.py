"""Tables and pairs fit the terminal, and stay aligned."""

import pytest
from lunar_offline_cli.tables import aligned, pairs


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_table_is_aligned() -> None:
    rows = [("cql-sac", "10", "1.5"), ("bc", "2", "-20.25")]
    assert aligned(("algorithm", "runs", "worst 100-episode mean"), rows).splitlines() == [
        "                       worst",
        "                 100-episode",
        "algorithm  runs         mean",
        "cql-sac      10          1.5",
        "bc            2       -20.25",
    ]


def test_a_wide_table_continues_below() -> None:
    headings = ("options", *(f"column {n}" for n in range(12)))
    rows = [(f"rho=0.{n} penalty=cql-h agent.discount=0.99", *["123.45"] * 12) for n in range(2)]
    shown = aligned(headings, rows)
    assert max(map(len, shown.splitlines())) <= 80
    first, second, third = shown.split("\n\n")
    assert all("rho=0.1 penalty=cql-h" in block for block in (first, second, third))
    assert shown.count("123.45") == 24


def test_pairs_keep_a_hash_in_one_piece() -> None:
    digest = "ab" * 32
    shown = pairs({"sha256": digest, "long": "word " * 40, "\x1b[2J": "x\ny"}, indent=2)
    assert max(map(len, shown.splitlines())) <= 80
    assert digest in shown
    assert "\x1b" not in shown
    assert "x?y" in shown
