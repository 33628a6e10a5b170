"""Every command and option that a message or a document names exists, and its line parses.

They are collected from the string literals of the source, f-strings included, and from the code in
the documents. A value that is filled in at run time is `1` here, which any option accepts.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from lunar_offline_cli.app import ClickError, app
from lunar_offline_cli.command import Command, Group

from lunar_offline.errors import UsageError

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for folder in ("lunar_offline", "cli") for p in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "datasets/*/*.md", "datasets/*/*.toml")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # old entries name what has gone
)
FOREIGN = {"--logdir", "--abbrev", "--always", "--dirty", "--exclude"}  # of tensorboard and git
PATTERNS = {"--name"}  # stand for any option
COMMAND = re.compile(r"\blunar-offline +(-?[a-z-][^`\n;|]*)")
OPTION = re.compile(r"(?<![\w(-])--[a-z][a-z-]+[a-z]")
MAIN: Any = typer.main.get_command(app)


def texts(path: Path) -> Iterator[str]:
    """Yield the string literals of a source file, with 1 for each value that is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "1" for p in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            yield node.value


def code(path: Path) -> Iterator[str]:
    """Yield the code spans and the lines of the code blocks of a document."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    if path.suffix == ".toml":
        yield from (line.removeprefix("# ") for line in text.splitlines() if line[:1] == "#")
        return
    blocks = re.split(r"^```.*$", text, flags=re.MULTILINE)
    for number, block in enumerate(blocks):
        if number % 2:
            yield from (line.split(" #")[0] for line in block.splitlines())
        else:
            yield from (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", block))


def commands() -> list[tuple[str, str]]:
    """Return (place, command line) for each command line that is named."""
    found = []
    for path in (*SOURCES, *DOCUMENTS):
        for text in texts(path) if path.suffix == ".py" else code(path):
            for match in COMMAND.finditer(text.replace("\\\n", " ")):
                line = re.split(r" (?:and|or|to) |\)|\.$|[.,:]\s", match[1])[0]
                found.append((str(path.relative_to(ROOT)), line.strip()))
    return sorted(set(found))


def parse(line: str) -> None:
    """Parse a command line as the app does, without running it."""
    words = [word for word in shlex.split(line) if word.strip(".")]
    command, context = MAIN, MAIN.make_context("lunar-offline", [], resilient_parsing=True)
    while isinstance(command, Group) and words and not words[0].startswith("-"):
        command = command.get_command(context, words[0])
        if command is None:
            raise UsageError(f"no command {words[0]}")
        context = command.context_class(command, info_name=words.pop(0), parent=context)
    if isinstance(command, Group):
        known = {option for p in command.get_params(context) for option in p.opts}
        if set(words) - known:
            raise UsageError(f"no option {words}")
    elif words:  # without any, the text names the command alone
        command.make_context(command.name, words, parent=context.parent)


def test_every_command_that_is_named_parses() -> None:
    wrong = []
    for place, line in commands():
        if "--algorithm awac" in line:  # tests/test_own_algorithm.py runs it
            continue
        try:
            parse(line)
        except (UsageError, ClickError) as error:
            wrong.append(f"{place}: lunar-offline {line}: {error}")
    assert wrong == []


def all_options() -> set[str]:
    found, waiting = {"--help"}, [MAIN]
    while waiting:
        command = waiting.pop()
        assert isinstance(command, Command | Group), command.name  # its help and its hints
        found |= {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        waiting += getattr(command, "commands", {}).values()
    return found


def test_an_option_that_is_named_exists() -> None:
    known = all_options() | FOREIGN | PATTERNS
    named = {o: path.name for path in SOURCES for text in texts(path) for o in OPTION.findall(text)}
    for path in DOCUMENTS:
        spans = (text for text in code(path) if text.startswith("--"))
        named |= {o: path.name for text in spans for o in OPTION.findall(text)}
    assert len(named) > 40
    known.add("--advantage-scale")  # of docs/your-own-algorithm.md
    assert {option: place for option, place in named.items() if option not in known} == {}


def test_the_collection_finds_what_it_must() -> None:
    places = {place for place, _ in commands()}
    assert {"README.md", "docs/training.md", "lunar_offline/datasets/ids.py"} <= places
    lines = {line for _, line in commands()}
    assert "train --dataset 1 --rho 0.6" in lines
    assert "train --resume 1" in lines


@pytest.mark.parametrize(
    "line", ["learn", "dataset shw 1", "train --no-such 1", "train 1", "evaluate --episodes x run"]
)
def test_a_command_that_is_wrong_fails(line: str) -> None:
    with pytest.raises((UsageError, ClickError)):
        parse(line)
