"""The command `lunar-offline video`."""

import json
import os
from typing import Annotated

import typer

from lunar_offline_cli import completion
from lunar_offline_cli.messages import print_line
from lunar_offline_cli.shared_options import (
    AsJson,
    Discrete,
    EnvId,
    EnvKwargs,
    Quiet,
    Trust,
    name_env,
)


def video(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY",
            help="A run directory, a policy file, module:function, or expert-v1, expert, medium, "
            "random, controller.",
            show_default=False,
            autocompletion=completion.policies,
        ),
    ],
    episode: Annotated[
        str,
        typer.Option(
            help="best, median, worst, or the number of a held-out episode; separate several with "
            "commas.",
            autocompletion=completion.one_of("best", "median", "worst"),
        ),
    ] = "median",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="Show another policy on the right, from the same start.",
            show_default="none",
            autocompletion=completion.policies,
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="gif|mp4",
            help="Kind of file.",
            autocompletion=completion.one_of("gif", "mp4"),
        ),
    ] = "gif",
    discrete: Discrete = None,
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Render videos of held-out episodes of a run or a policy.

    Videos of a run are written into its directory, others into the current one. The best, median
    and worst are those of the run's evaluation. Without one, 100 held-out episodes find them, which
    takes some seconds; the number of an episode needs none.
    """
    from lunar_offline.evaluation.video import CHOICES, SEARCHED, check_request, film, find_subject
    from lunar_offline.policies import SHIPPED
    from lunar_offline.policies.behavior import behavior_policy
    from lunar_offline.process_pool import usable_cores
    from lunar_offline_cli.console import Bars

    chosen = episode.split(",")
    check_request(chosen, kind)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # SDL would look for a display, and complain
    named, settings = name_env(env, env_kwargs, discrete=discrete)
    subject = find_subject(policy, discrete=discrete, env=named, trust=trust)
    subject = subject.with_settings(settings)
    other = None
    if against is not None:
        same = subject.policy.env.discrete if against in SHIPPED else None
        other = behavior_policy(against, discrete=same, stochastic=False, env=named, trust=trust)
        other = other.with_settings(settings)
    with Bars(quiet=quiet or as_json) as bars:
        if not subject.returns and set(chosen) & set(CHOICES):
            if not (quiet or as_json):
                print_line(
                    f"{policy} has no evaluation; {SEARCHED} episodes find the {episode} one"
                )
            subject = subject.measured(bars, workers=usable_cores())
        bars.phase("filming", len(chosen), 0)
        filmed = []
        for which in chosen:
            filmed.append(film(subject, which, kind, against=other))
            bars.advance(1)
    for path, episodes in filmed:
        if as_json:
            found = {"path": str(path), "return": episodes[0].episode_return}
            found |= {"frames": len(episodes[0])}
            if other is not None:
                found |= {"against_return": episodes[1].episode_return}
            typer.echo(json.dumps(found))
            continue
        shown = " against ".join(
            f"return {found.episode_return:.1f}, {len(found)} frames" for found in episodes
        )
        typer.echo(f"{path}: {shown}")
