"""Options that several commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

from lunar_offline.training.trackers.registry import CHOICES
from lunar_offline_cli import completion

if TYPE_CHECKING:
    from lunar_offline.envs.env_info import EnvInfo
    from lunar_offline.envs.env_kwargs import PlainValue

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
EnvId = Annotated[
    str | None,
    typer.Option(
        "--env",
        metavar="ID",
        autocompletion=completion.envs,
        help="Gymnasium id of the env; to be given once for one that is not registered.",
        show_default="the env of the dataset, run or policy",
    ),
]
EnvKwargs = Annotated[
    str | None,
    typer.Option(
        "--env-kwargs",
        metavar="NAME=VALUE,...",
        help="Settings of the env, such as enable_wind=true,gravity=-8.",
        show_default="those of the dataset, run or policy",
    ),
]
Discrete = Annotated[
    bool | None,
    typer.Option(
        "--discrete/--continuous",
        help="Action space.",
        show_default="that of the dataset or policy, else discrete",
    ),
]
Trackers = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker",
        help=f"Mirror of metrics.jsonl: {', '.join(CHOICES)}; several with commas, or repeated.",
        show_default="tensorboard, or those of a run that continues",
        rich_help_panel="The run",
        autocompletion=completion.trackers,
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run the pickled code of a .zip policy that cannot be read without it."
    ),
]
DatasetId = Annotated[
    str,
    typer.Argument(help="Dataset id.", show_default=False, autocompletion=completion.datasets),
]


def name_env(
    env: str | None, env_kwargs: str | None, *, discrete: bool | None = None
) -> tuple["EnvInfo | None", dict[str, "PlainValue"]]:
    """Return the env that the user names with --env, and the settings of --env-kwargs.

    Files may state that env from then on; see `find_env`. Raises UsageError for an invalid one.
    """
    from lunar_offline.envs.env_kwargs import parse_kwargs

    settings = parse_kwargs(env_kwargs or "")
    if env is None:
        return None, settings
    from lunar_offline.envs.registry import find_env

    return find_env(env, discrete=discrete, settings=settings), settings
