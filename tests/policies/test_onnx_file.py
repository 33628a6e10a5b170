import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx_models import weights, write_model

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluate import evaluate_policy
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.policies.onnx_file import onnx_policy
from lunar_offline.seeding import Purpose, generator


def expected(outputs: int, observations: np.ndarray) -> np.ndarray:
    return observations.astype(np.float32) @ weights(outputs)


OBSERVATIONS = generator(4, Purpose.BATCH).standard_normal((16, 8), np.float32)
RNGS = [np.random.default_rng(0)] * 16


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("argmax", [True, False])
def test_discrete_actions(batch: object, argmax: bool) -> None:
    write_model(batch=batch, argmax=argmax)
    policy = behavior_policy("p.onnx", discrete=None)
    assert policy.env is find_env(discrete=True)
    actions = policy.act(OBSERVATIONS, RNGS)
    assert actions.dtype == np.int64
    assert np.array_equal(actions, expected(4, OBSERVATIONS).argmax(1))
    assert len(set(actions.tolist())) > 1


def test_continuous_actions_are_clipped() -> None:
    write_model(outputs=2)
    policy = behavior_policy("p.onnx", discrete=None)
    assert policy.env is find_env(discrete=False)
    actions = policy.act(OBSERVATIONS, RNGS)
    assert np.allclose(actions, np.clip(expected(2, OBSERVATIONS), -1, 1), atol=1e-6)
    assert (np.abs(actions) == 1.0).any()


def test_an_action_does_not_depend_on_the_others_or_on_the_process() -> None:
    write_model(outputs=2, scale=0.01)
    act = behavior_policy("p.onnx", discrete=None).act
    together = act(OBSERVATIONS, RNGS)
    there = pickle.loads(pickle.dumps(act))
    for row in range(16):
        padded = np.zeros_like(OBSERVATIONS)
        padded[0] = OBSERVATIONS[row]
        assert np.array_equal(act(padded, RNGS[:1])[0], together[row])
        assert np.array_equal(there(padded, RNGS[:1])[0], together[row])


def test_a_dataset_of_a_model_and_its_evaluation() -> None:
    write_model()
    collected = collect_dataset("x-v0", policy="p.onnx", episodes=3)
    metadata = read_dataset("x-v0").metadata
    sha256 = hashlib.sha256(Path("p.onnx").read_bytes()).hexdigest()
    (source,) = metadata["lunar_offline"]["recipe"]["sources"]
    assert source == {"policy": "p.onnx", "policy_sha256": sha256, "episodes": 3}
    assert metadata["algorithm_name"] == "onnx"
    assert "(onnx, deterministic actions)" in (collected.path / "README.md").read_text()
    for episode in read_dataset("x-v0").episodes():
        chosen = expected(4, episode.observations[:-1]).argmax(1)
        assert np.array_equal(chosen, episode.actions)
    assert evaluate_policy(behavior_policy("p.onnx", discrete=None), 2).episodes == 2


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"batch": 3}, RefusedError, "its batch size is fixed at 3; export it with batch size 1"),
        ({"size": "D"}, RefusedError, "observation tensor(float) ['batch', 'D'], not one of float"),
        ({"size": 9}, UsageError, "has 9 observations and actions, LunarLander-v3 has 8"),
        ({"outputs": 3}, UsageError, "has 8 observations and 3 actions, LunarLander-v3 has"),
        ({"names": ("a", "b")}, RefusedError, "outputs are a, b; name one of them action or"),
        ({"names": ("logits", "action")}, RefusedError, "its outputs are logits, action; name one"),
        ({"scale": np.nan}, RefusedError, "its output is not finite"),
        ({"declared": TensorProto.FLOAT16}, RefusedError, "not a valid ONNX model"),
    ],
)
def test_a_model_of_another_form(
    options: dict[str, object], error: type[Exception], reason: str
) -> None:
    write_model(**options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(error) as raised:
        behavior_policy("p.onnx", discrete=None).act(OBSERVATIONS, RNGS)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_of_several_outputs_is_named() -> None:
    write_model(names=("value", "logits"))
    behavior_policy("p.onnx", discrete=None)
    write_model(argmax=True)
    with pytest.raises(UsageError, match="8 observations and discrete actions"):
        onnx_policy(Path("p.onnx"), [find_env(discrete=False)])


def with_external_weights() -> bytes:
    write_model()
    model = onnx.load("p.onnx")
    Path("p.onnx").unlink()
    onnx.save(model, "p.onnx", save_as_external_data=True, location="w", size_threshold=0)
    return Path("p.onnx").read_bytes()


def test_garbage_is_refused() -> None:
    write_model()
    whole = Path("p.onnx").read_bytes()
    for content, reason in (
        (b"", "not a valid ONNX model"),
        (b"junk" * 99, "not a valid ONNX model"),
        (whole[:-40], "not a valid ONNX model"),
        (with_external_weights(), "its weights are in another file; export it with external_data="),
    ):
        Path("x.onnx").write_bytes(content)
        with pytest.raises(RefusedError, match=reason) as raised:
            behavior_policy("x.onnx", discrete=None)
        assert str(raised.value).startswith("x.onnx: ")
        assert "\n" not in str(raised.value)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    write_model()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError) as raised:
        behavior_policy("p.onnx", discrete=None)
    assert str(raised.value) == (
        "p.onnx: ONNX files need an extra: pip install 'lunar-offline[onnx]' -c constraints.txt"
    )
