"""ONNX files as policies, run by onnxruntime on one thread of the CPU.

The model has one input: observations, float32 or float64, [1, D] or [batch, D]. Its actions are its
only output, or the output named `action`, `actions` or `logits`:

- integers [1], [1, 1] or [] are discrete actions;
- in an env with n discrete actions, floats [1, n] are one number per action (logits, probabilities
  or values); the action is the first with the largest number;
- in an env with continuous actions, floats [1, A] are the action, in the env's own range.

Observations are passed one at a time, because the last bits of a product depend on the batch.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.policies.acting import BehaviorPolicy
from lunar_offline.policies.env_actions import (
    Actions,
    PolicySpaces,
    checked_actions,
    matching_env,
)
from lunar_offline.storage.plain_text import one_line, printable
from lunar_offline.storage.untrusted_files import read_regular

MAX_BYTES = 1 << 28
OUTPUTS = ("action", "actions", "logits")
FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64}
INTEGERS = ("tensor(int64)", "tensor(int32)")
EXTERNAL = b"\n\x08location\x12"  # the entry of a weight that names another file


class OnnxAct:
    """Runs a model for one observation after the other; see `Act`.

    Args:
        content: of the file.
        source: the file, for messages.
        envs: the envs of which the first that fits is used.

    Raises:
        RefusedError: it is not a model that onnxruntime can run, or has other inputs or outputs.
        UsageError: onnxruntime is not installed, or no env fits.
    """

    def __init__(self, content: bytes, source: str, envs: Sequence[EnvInfo]) -> None:
        self.content, self.source = content, source
        self.session = _session(content, source)
        self.input, self.dtype, size = self._find_input()
        self.output, integers = self._find_output()
        takes = PolicySpaces(size, None, True if integers else None)
        matching_env(envs, takes, source)  # before memory of this size is allocated
        found = self._run(np.zeros(size, dtype=np.float32))
        if integers and found.size != 1:
            raise RefusedError(f"{source}: its action is not one integer, but {found.shape}")
        if not integers and (found.ndim != 2 or len(found) != 1):
            raise RefusedError(f"{source}: its output has the shape {found.shape}, not (1, n)")
        gives = takes if integers else PolicySpaces(size, found.shape[1])
        self.env = matching_env(envs, gives, source)
        self.argmax = self.env.discrete and not integers

    def __call__(
        self, observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
    ) -> Actions:
        """Return the actions of the live rows, those that have a generator."""
        outputs = [self._run(row) for row in observations[: len(rngs)]]
        if not all(np.isfinite(output).all() for output in outputs):
            raise RefusedError(f"{self.source}: its output is not finite")
        values = [output.argmax() if self.argmax else output.reshape(-1) for output in outputs]
        return checked_actions(self.env, values, f"policy {self.source}")

    def __reduce__(self) -> tuple[object, ...]:
        return OnnxAct, (self.content, self.source, (self.env,))

    def _run(self, observation: NDArray[np.float32]) -> NDArray[Any]:
        row = observation[np.newaxis].astype(self.dtype)
        try:
            (output,) = self.session.run([self.output], {self.input: row})
        except Exception as error:
            raise RefusedError(f"{self.source}: cannot be run: {one_line(error)}") from None
        return np.asarray(output)

    def _find_input(self) -> tuple[str, type[np.floating[Any]], int]:
        inputs = self.session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 2 or not isinstance(shape[1], int) or inputs[0].type not in FLOATS:
            shown = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise RefusedError(
                f"{self.source}: its inputs are {printable(shown)[:120]}, not one of floats "
                "[batch, D]"
            )
        if isinstance(shape[0], int) and shape[0] != 1:
            raise RefusedError(
                f"{self.source}: its batch size is fixed at {shape[0]}; export it with batch size "
                "1 or a dynamic one"
            )
        return inputs[0].name, FLOATS[inputs[0].type], shape[1]

    def _find_output(self) -> tuple[str, bool]:
        outputs = self.session.get_outputs()
        chosen = [o for o in outputs if o.name in OUTPUTS] if len(outputs) > 1 else outputs
        if len(chosen) != 1:
            shown = printable(", ".join(o.name for o in outputs))[:120]
            raise RefusedError(
                f"{self.source}: its outputs are {shown}; name one of them {' or '.join(OUTPUTS)}"
            )
        if chosen[0].type not in (*FLOATS, *INTEGERS):
            raise RefusedError(f"{self.source}: its output is a {chosen[0].type}")
        return chosen[0].name, chosen[0].type in INTEGERS


def onnx_policy(path: Path, envs: Sequence[EnvInfo]) -> BehaviorPolicy:
    """Load an ONNX file.

    Args:
        path: of the file.
        envs: the env that the user named, or the variants of the default env.

    Raises:
        UsageError: there is no such file, onnxruntime is not installed, or no env fits.
        RefusedError: it is not a model as the head of this file describes it.
    """
    try:
        content = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such policy file") from None
    act = OnnxAct(content, str(path), envs)
    return BehaviorPolicy(
        name=printable(path.name),
        act=act,
        env=act.env,
        algorithm="onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        samples=False,
    )


def _session(content: bytes, source: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            f"{source}: ONNX files need an extra: pip install 'lunar-offline[onnx]' "
            "-c constraints.txt"
        ) from None
    if EXTERNAL in content:
        raise RefusedError(
            f"{source}: its weights are in another file; export it with external_data=False"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # fatal; errors are raised
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RefusedError(f"{source}: not a valid ONNX model: {one_line(error)}") from None
