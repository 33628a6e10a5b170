"""`share` and `fetch` on the command line."""

import json
import sys

import pytest
from loopback import TOKEN, Hub
from lunar_offline_cli.app import main


def test_the_commands(
    hub: Hub,
    dataset: str,
    elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = ""

    def run(*arguments: str) -> tuple[int, str]:
        nonlocal said
        monkeypatch.setattr(sys, "argv", ["lunar-offline", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        said += out + err
        return int(stop.value.code or 0), out

    monkeypatch.setenv("MINARI_REMOTE", "hf://me")
    code, out = run("share", dataset, "--dry-run", "--json")
    assert (code, json.loads(out)["dry_run"]) == (0, True)
    code, out = run("share", dataset)
    assert (code, "4 of 4 files sent" in out) == (0, True)
    code, out = run("share", dataset, "--json")
    assert (code, json.loads(out)["sent"]) == (0, [])
    elsewhere()
    code, out = run("fetch", dataset)
    assert (code, "every sha256 matches the manifest" in out) == (0, True)
    code, out = run("fetch", dataset, "--json")
    assert (code, json.loads(out)["existed"]) == (0, True)
    assert run("fetch", "box2d/none-v0") == (4, "")
    hub.status = 500
    assert run("share", dataset) == (4, "")
    assert TOKEN not in said
