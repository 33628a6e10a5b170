"""Plain progress lines say a rate that can be read, and the time left."""

import pytest
from lunar_offline_cli import console


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (31.0, "runs: 1/10  1.9/min  return 260  0:04:39 left"),
        (720.0, "runs: 1/10  5.0/h  return 260  1:48:00 left"),
        (0.5, None),
    ],
)
def test_a_plain_line_has_a_rate_and_the_time_left(
    seconds: float, line: str | None, monkeypatch, capsys
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.Bars() as bars:
        bars.phase("runs", 10, 0)
        now[0] = seconds
        bars.advance(1, episode_return=260.4)
    said = capsys.readouterr().err.splitlines()
    assert said == ["runs: 0/10", *([line] if line else [])]


def test_a_fast_rate_is_by_the_second(monkeypatch, capsys) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.Bars() as bars:
        bars.phase("updates", 10_000, 1_000)
        now[0] = 40.0
        bars.advance(6_000)
    assert "updates: 7000/10000  150.0/s  0:00:20 left" in capsys.readouterr().err
