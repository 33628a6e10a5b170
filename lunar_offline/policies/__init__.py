"""Policy files, behavior policies, and the functions through which policies act."""

import re

SHIPPED = ("expert-v1", "expert", "medium", "random", "controller")
"""The policies that come with the package."""

THRESHOLDED = "thresholded:"
"""Prefix of a continuous policy that runs the discrete lander."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def names_function(name: str) -> bool:
    """Return whether the name of a policy has the form `module:function`."""
    return _FUNCTION.fullmatch(name.removeprefix(THRESHOLDED)) is not None
