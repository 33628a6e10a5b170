"""Videos of any policy, with or without an evaluation."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lunar_offline.evaluation import video

Run = Callable[..., tuple[int, str, str]]


def test_a_policy_without_an_evaluation(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "SEARCHED", 5)
    code, out, err = run("video", "random", "--episode", "worst,best")
    assert code == 0
    assert "random has no evaluation; 5 episodes find the worst,best one" in err
    worst, best = (float(line.split("return ")[1].split(",")[0]) for line in out.splitlines())
    code, out, _ = run("evaluate", "random", "--episodes", 5, "--json")
    returns = json.loads(out)["policy"]["returns"]
    assert [worst, best] == [round(min(returns), 1), round(max(returns), 1)]
    for which in ("worst", "best"):
        assert Path(f"random-{which}.gif").read_bytes().startswith(b"GIF89a")


def test_a_number_needs_no_evaluation(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "evaluate_policy", lambda *_, **__: pytest.fail("evaluated"))
    code, out, err = run("video", "random", "--episode", 3, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["path"] == "random-3.gif"


def test_two_policies_start_from_the_same_state(run: Run) -> None:
    code, out, _ = run("video", "random", "--episode", 0, "--against", "medium", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["return"] != shown["against_return"]
    with Image.open("random-0-against-medium.gif") as gif:
        assert gif.size == (600, 200)
        first = gif.convert("L")
        halves = [first.crop((x, 150, x + 300, 200)).tobytes() for x in (0, 300)]
        assert halves[0] == halves[1]  # the same hills


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["random", "--episode", "middle"], "episode 'middle' is not best, median, worst or a"),
        (["random", "--episode", "-1"], "episode '-1' is not"),
        (["random", "--episode", "0", "--format", "avi"], "format 'avi' is not gif or mp4"),
        (["random", "--episode", "0", "--against", "pro"], "no policy 'pro'"),
        (["random", "--episode", "0", "--env", "CartPole-v1", "--against", "expert"], "is for"),
    ],
)
def test_what_cannot_be_filmed(run: Run, arguments: list[str], reason: str) -> None:
    code, out, err = run("video", *arguments, "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err
