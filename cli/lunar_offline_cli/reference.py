"""The reference page of options and metrics: `python -m lunar_offline_cli.reference`."""

from typing import Any

from lunar_offline.agents.registry import algorithms
from lunar_offline.options import Option, options_of
from lunar_offline.training.config import TrainConfig
from lunar_offline_cli.options_from_config import flag, shown_default

HEAD = """# Options and metrics

Generated from the code by `python -m lunar_offline_cli.reference > docs/reference.md`.

Every option is a key of `config.toml` and can be set with `--set KEY=VALUE`. The column "command
line" shows the options with their own flag. The column "default" shows the preset `best` for
0 < rho < 1 and discrete actions; values for continuous actions, rho 0 and rho 1 follow where they
differ. The column "paper" shows the preset `paper` where it differs.
"""


def reference_page() -> str:
    """Return the reference page as Markdown."""
    parts = [HEAD, "\n## A run\n\n", _options(TrainConfig, "")]
    for algorithm in algorithms().values():
        parts += [f"\n## `--algorithm {algorithm.name}`\n\n{algorithm.help}\n\n"]
        parts += [_options(algorithm.config, "agent.")]
        rows = [f"| `{name}` | {_cell(meaning)} |" for name, meaning in algorithm.metrics.items()]
        parts += ["\n| metric | meaning |\n| --- | --- |\n", "\n".join(rows), "\n"]
    return "".join(parts)


def _cell(text: str) -> str:
    """Escape the vertical bars in a text, so that they do not end a Markdown table cell."""
    return text.replace("|", "\\|")


def _options(cls: type, table: str) -> str:
    rows = ["| key | command line | default | paper | allowed | meaning |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    for name, (_, default, about) in sorted(options_of(cls).items()):
        shown = f"`{flag(name)}`" if about.main else ""
        paper = _paper(default, about)
        rows.append(
            f"| `{table}{name}` | {shown} | {shown_default(default, about)} | {paper} | "
            f"{_allowed(about)} | {_cell(about.help)} |"
        )
    return "\n".join(rows) + "\n"


def _paper(default: Any, about: Option) -> str:
    shown = shown_default(default, about, "paper")
    return "" if shown == shown_default(default, about) else shown


def _allowed(about: Option) -> str:
    if about.choices:
        return ", ".join(about.choices)
    low = f"at least {about.at_least:g}" if about.at_least is not None else ""
    low = f"above {about.above:g}" if about.above is not None else low
    high = f"at most {about.at_most:g}" if about.at_most is not None else ""
    limits = ", ".join(limit for limit in (low, high) if limit)
    return f"{limits} {about.unit}".strip()


if __name__ == "__main__":
    print(reference_page(), end="")
