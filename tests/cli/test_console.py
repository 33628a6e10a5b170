"""Progress has a rate that can be read and the time left, on bars and on plain lines."""

import io
import re

import pytest
import rich.console
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


def test_a_phase_that_starts_again_continues_its_bar(monkeypatch, capsys) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.Bars() as bars:
        bars.phase("online episodes", 20, 0)
        now[0] = 20.0
        bars.advance(2, episode_return=100.0)
        bars.phase("validation", 50, 0)
        now[0] = 80.0
        bars.advance(25)
        bars.phase("online episodes", 20, 2)
        now[0] = 120.0
        bars.advance(4, episode_return=200.0)
    assert capsys.readouterr().err.splitlines() == [
        "online episodes: 0/20",
        "validation: 0/50",
        "validation: 25/50  25.0/min  0:01:00 left",
        # six episodes in the 60 s that were not spent on the validation
        "online episodes: 6/20  6.0/min  return 200  0:02:20 left",
    ]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_bar_keeps_count_rate_and_time_left(width: int, monkeypatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        console,
        "Console",
        lambda **_: rich.console.Console(file=screen, width=width, force_terminal=True),
    )
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.Bars() as bars:
        bars.phase("online episodes", 1200, 0)
        now[0] = 300.0
        bars.advance(100, episode_return=-123.4, validation_mean=-200.0, env_step=123_456)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).strip().splitlines()[-1]
    assert len(last) <= width
    for kept in ("online episodes", "100/1200", "20.0/min", "0:55:00"):
        assert kept in last
    assert ("return -123" in last) == (width >= 60)
