"""What the documents name exists, and what they show runs."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from lunar_offline_cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
}
README = PAGES["README.md"]
PYTHON_PAGES = ("README.md", "docs/python.md")  # whose Python blocks are run, in this order
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


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(found) for found in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[name]):
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), f"{name}: {target}"
        assert not anchor or anchor in anchors(page), f"{name}: {target}"


def test_the_start_page_and_the_readme_link_every_page() -> None:
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"}
    for start in ("README.md", "docs/index.md"):
        linked = {Path(link).name for link in re.findall(r"\]\(([^)#]+\.md)", PAGES[start])}
        assert pages - linked == set(), start


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1200
    assert re.findall(r"!\[", README) == ["!["]
    assert len(re.findall(r"^\| ?---", README, re.MULTILINE)) == 1


def test_the_readme_shows_what_make_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for name, value in (("PYTHON", "python3"), ("BIN", "$(VENV)/bin"), ("VENV", ".venv")):
        makefile = makefile.replace(f"$({name})", value)
    for command in (
        "python3 -m venv .venv",
        ".venv/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'",
        ".venv/bin/lunar-offline demo",
        "OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2",
    ):
        assert re.search(f"^\t{re.escape(command)}$", makefile, re.MULTILINE), command
        assert re.search(f"^{re.escape(command)}($| +#)", README, re.MULTILINE), command


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[name], re.MULTILINE | re.DOTALL)


def shell_commands() -> list[tuple[str, str]]:
    """Return every `lunar-offline` command of the pages, in blocks and in the text."""
    found = []
    for name, text in PAGES.items():
        lines = "".join(blocks(name, "sh")).replace("\\\n", " ").splitlines()
        lines += re.findall(r"`(lunar-offline [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
        words = (line.removeprefix(".venv/bin/") for line in lines)
        found += [(name, line) for line in words if line.startswith("lunar-offline ")]
    return sorted(set(found))


@pytest.mark.parametrize(("name", "line"), shell_commands())
def test_the_command_line_takes_the_commands(name: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0].startswith("-") or words[0] in command.commands, f"{name}: {line}"
        if words[0].startswith("-"):
            break
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    known |= {"-h", "--help"}
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    assert options <= known, f"{name}: {line}"


SMALL = """
import sys
from functools import wraps

import torch

import lunar_offline as lo
from lunar_offline.storage.strict_toml import merge
from lunar_offline.training import resolve_config

torch.set_num_threads(1)
run_preset = resolve_config.run_preset
small = {
    "pretrain_updates": 20, "updates": 20, "warmup_steps": 50, "validation_episodes": 2,
    "evaluation_episodes": 2, "batch_size": 32, "utd_ratio": 0.1, "agent": {"hidden": [16]},
}
resolve_config.run_preset = lambda *args: merge(run_preset(*args), small)


def with_few_episodes(function):
    @wraps(function)
    def called(*args, **kwargs):
        few = {k: min(v, 3) for k, v in kwargs.items() if k in ("episodes", "online_episodes")}
        return function(*args, **{**kwargs, **few})

    return called


for name in ("collect", "train", "evaluate"):
    setattr(lo, name, with_few_episodes(getattr(lo, name)))
for name in sys.argv[1:]:
    exec(compile(open(name).read(), name, "exec"), {"__name__": "__main__"})
"""


def test_the_python_of_the_pages_runs(tmp_path: Path) -> None:
    """A page is one script from top to bottom; only its numbers of episodes and updates shrink."""
    for name in PYTHON_PAGES:
        folder = tmp_path / Path(name).stem
        folder.mkdir()
        (folder / "page.py").write_text("\n".join(blocks(name, "python")))
        ran = subprocess.run(
            [sys.executable, "-c", SMALL, "page.py"],
            **{"capture_output": True, "text": True, "cwd": folder, "check": False},
            env={**os.environ, "MINARI_DATASETS_PATH": str(folder / "datasets")},
        )
        assert ran.returncode == 0, ran.stderr


def test_the_readme_has_ten_lines_of_python() -> None:
    (block,) = blocks("README.md", "python")
    assert len([line for line in block.splitlines() if line]) <= 10
