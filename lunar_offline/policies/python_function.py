"""Python functions as policies: observation -> action.

A dataset is reproducible only if the function depends on nothing but its observation, and on `rng`
if it has a parameter of that name. Several episodes run at once and in several processes, so a
function that remembers earlier calls mixes them up.
"""

import hashlib
import importlib
import inspect
import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.rollout import INFERENCE_ROWS
from lunar_offline.errors import UsageError
from lunar_offline.policies.acting import BehaviorPolicy
from lunar_offline.policies.env_actions import Actions, checked_actions
from lunar_offline.seeding import Purpose, generator
from lunar_offline.storage.plain_text import one_line, printable


class RandomFunction(Protocol):
    """A function with a parameter `rng`: it is also given the generator of the episode."""

    def __call__(self, observation: NDArray[np.float32], /, *, rng: np.random.Generator) -> object:
        """Return one action."""
        ...


PolicyFunction = Callable[[NDArray[np.float32]], object] | RandomFunction
"""Maps one observation, float32 [D], to one action in the env's own action space."""


class FunctionAct:
    """Calls a function for one observation after the other; see `Act`.

    Args:
        function: see `PolicyFunction`.
        name: the function, for messages.
        env: the env that it acts in.
        imported: whether it is imported by its name; another process then imports it again,
            whatever kind of object it is.
    """

    def __init__(
        self, function: PolicyFunction, name: str, env: EnvInfo, *, imported: bool = False
    ) -> None:
        self.function, self.name, self.env, self.imported = function, name, env, imported
        self.takes_rng = _takes_rng(function)
        self._call: Callable[..., object] = function

    def __call__(
        self, observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
    ) -> Actions:
        """Return the actions of the live rows, those that have a generator."""
        values: list[object] = []
        for observation, rng in zip(observations, rngs, strict=False):
            own = observation.copy()  # which the function may keep or change
            try:
                values.append(self._call(own, rng=rng) if self.takes_rng else self._call(own))
            except Exception as error:
                raise UsageError(f"policy {self.name}: {_failure(error)}") from error
        return checked_actions(self.env, values, f"policy {self.name}")

    def __reduce__(self) -> tuple[object, ...]:
        if self.imported:
            return _imported_act, (self.name, self.env)
        return FunctionAct, (self.function, self.name, self.env)

    def shareable(self) -> bool:
        """Return whether another process can load the function."""
        if self.imported:
            return True
        main = sys.modules["__main__"]
        if getattr(self.function, "__module__", None) == "__main__" and not hasattr(
            main, "__file__"
        ):
            return False  # typed at a prompt
        try:
            pickle.dumps(self.function)
        except Exception:
            return False
        return True


def imported_policy(name: str, env: EnvInfo) -> BehaviorPolicy:
    """Import the function that the user named.

    The module is looked up in the current folder first, then among the installed packages. A class
    is called without arguments, and its instance is the policy.

    Args:
        name: `module:function`.
        env: the env that it acts in.

    Raises:
        UsageError: the module cannot be imported, or has no such function; or the function fails at
            the first observation of the env, or does not return an action of it.
    """
    return _policy(_imported_act(name, env), name.partition(":")[0])


def _imported_act(name: str, env: EnvInfo) -> FunctionAct:
    return FunctionAct(_import(name), name, env, imported=True)


def function_policy(function: PolicyFunction, env: EnvInfo) -> BehaviorPolicy:
    """Return the policy of a function.

    Args:
        function: see `PolicyFunction`.
        env: the env that it acts in.

    Raises:
        UsageError: it fails at the first observation of the env, or does not return an action of
            it.
    """
    qualified = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None) or "builtins"
    name = printable(f"{module}:{qualified}")
    return _policy(FunctionAct(function, name, env), module)


def _policy(act: FunctionAct, module: str) -> BehaviorPolicy:
    _try(act)
    source = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    content = source.read_bytes() if source.is_file() else None
    return BehaviorPolicy(
        name=act.name,
        act=act,
        env=act.env,
        algorithm=f"python/{act.name}",
        sha256=hashlib.sha256(content).hexdigest() if content is not None else "",
        samples=act.takes_rng,
        shareable=act.shareable(),
    )


def _try(act: FunctionAct) -> None:
    """Call the function once, so that a wrong one is reported before anything is written."""
    env = act.env.make()
    try:
        observation, _ = env.reset(seed=0)
    finally:
        env.close()
    observations = np.zeros((INFERENCE_ROWS, act.env.observation_size), dtype=np.float32)
    observations[0] = observation
    act(observations, [generator(0, Purpose.COLLECTION_ACTION)])


def _import(name: str) -> PolicyFunction:
    module_name, _, attributes = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
        importlib.invalidate_caches()
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"policy {name}: there is no module {error.name!r}") from None
        raise UsageError(f"policy {name}: {_failure(error)}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"policy {name}: {_failure(error)}") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise UsageError(f"policy {name}: {module_name} has no {attribute!r}")
        found = getattr(found, attribute)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise UsageError(
                f"policy {name}: the class cannot be made without arguments: {one_line(error)}"
            ) from error
    if not callable(found):
        raise UsageError(f"policy {name}: it is a {type(found).__name__}, not a function")
    return found


def _takes_rng(function: PolicyFunction) -> bool:
    try:
        return "rng" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False


def _failure(error: BaseException) -> str:
    """Return the kind, the message and the place of an error in the user's code."""
    ours = (__file__, importlib.__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen")
    ]
    last = next((f for f in reversed(frames) if f.filename == frames[0].filename), None)
    at = f" ({Path(last.filename).name}, line {last.lineno})" if last else ""
    return f"{type(error).__name__}: {one_line(error)}{at}"
