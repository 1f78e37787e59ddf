"""Every format against numbers worked by hand, the policy's own functions, and the policy object step by step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_ensemble import constant_ensemble
from made_policies import Made, made, written
from numpy.typing import NDArray

from orl.agents.actor import PolicyParams, make_act, make_actor
from orl.agents.config import PolicyConfig
from orl.data.normalise import Normaliser
from orl.deployment.reference import Familiar, make_answer, memory_of
from orl.runs.policy import Policy
from orl.types import Spec

BOUNDS = (-1.5, 0.0), (2.5, 8.0)
FORMATS = ("onnx", "stablehlo", "numpy")


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """XLA compiles quickly rather than well: values are compared here, not bits of an optimised program."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def by_hand(threshold: float) -> Made:
    """z = (o - 1) / 2, h = relu(z / 2 - 1/4), tanh(0.4 h + 0.1) in [-1, 3]; members that add 0, 1 and 3 to o."""
    first = {"kernel": jnp.asarray([[0.5]]), "bias": jnp.asarray([-0.25])}
    last = {"kernel": jnp.asarray([[0.4, 9.0]]), "bias": jnp.asarray([0.1, 9.0])}  # the second output is the spread's
    policy = PolicyParams(
        {"params": {"MLP_0": {"Dense_0": first, "Dense_1": last}}}, Normaliser(jnp.ones(1), jnp.full(1, 2.0))
    )
    act = make_act(make_actor(PolicyConfig(hidden=(1,)), 1))
    ensemble, model = constant_ensemble(np.array([[0, 7], [1, 0], [3, -7]]), np.ones((3, 2)), (0,), (2.0, 1.0))
    model = model._replace(inputs=Normaliser(jnp.zeros(2), jnp.ones(2)))
    return Made(act, policy, Spec(1, 1, (-1.0,), (3.0,)), Familiar(ensemble, model, 4.0, threshold))


@pytest.mark.parametrize("format", FORMATS)
def test_worked_by_hand(format: str, tmp_path: Path) -> None:
    """o = 5: z = 2, h = 0.75, tanh(0.4) = 0.379949; o = -9: h = 0, tanh(0.1). Members are 3 apart, 2 is the unit."""
    run = written(by_hand(5.9), format, tmp_path)
    found = run(np.array([[5.0], [-9.0]], np.float32))
    assert set(found) == {"action", "uncertainty", "out_of_distribution"}
    np.testing.assert_allclose(found["action"], [[1.759898], [1.199336]], rtol=1e-6)
    np.testing.assert_allclose(found["uncertainty"], [6.0, 6.0], rtol=1e-6)
    assert found["out_of_distribution"].tolist() == [True, True]
    assert {name: each.dtype.str for name, each in found.items()} == {
        "action": "<f4",
        "uncertainty": "<f4",
        "out_of_distribution": "|b1",
    }
    assert written(by_hand(6.1), format, tmp_path)(np.array([[5.0]], np.float32))["out_of_distribution"].tolist() == [
        False
    ]


@cache
def any_network(history: int, layer_norm: bool) -> tuple[Made, NDArray[np.float32], dict[str, NDArray[Any]]]:
    """A policy, random stacks [64, W], and what is known of them in JAX; half of them are flagged."""
    policy = made(Spec(3, 2, *BOUNDS, history), layer_norm=layer_norm)
    assert policy.familiar is not None
    stacked = 3 * np.random.default_rng(1).normal(size=(64, policy.spec.stacked_dim)).astype(np.float32)
    answer = jax.jit(make_answer(policy.act, policy.params, policy.spec, policy.familiar))
    expected = {name: np.asarray(each) for name, each in answer(stacked).items()}
    between = float(np.median(expected["uncertainty"]))
    expected["out_of_distribution"] = expected["uncertainty"] > between
    return policy._replace(familiar=policy.familiar._replace(threshold=between)), stacked, expected


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("history", "layer_norm"), [(0, False), (1, True), (3, False)])
def test_any_network_answers_as_in_jax(format: str, history: int, layer_norm: bool, tmp_path: Path) -> None:
    """In a batch of 64, and of one."""
    policy, stacked, expected = any_network(history, layer_norm)
    inputs = (stacked,)
    if history:
        inputs = (stacked[:, :3], np.asarray(memory_of(jnp.asarray(stacked), policy.spec)))
    run = written(policy, format, tmp_path)
    found, one = run(*inputs), run(*(x[5:6] for x in inputs))
    assert found.keys() == one.keys() == expected.keys()
    assert ("next_memory" in found) == (history > 0)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=2e-5, atol=2e-6, err_msg=name)
        np.testing.assert_allclose(one[name], array[5:6], rtol=2e-5, atol=2e-6, err_msg=name)
        assert one[name].shape == array[5:6].shape
    assert np.mean(found["out_of_distribution"]) == 0.5
    assert np.ptp(found["action"], axis=0).min() > 0.3  # the comparison is of something


@pytest.mark.parametrize("format", FORMATS)
def test_the_memory_carries_episodes_as_the_policy_object_does(format: str, tmp_path: Path) -> None:
    """Three episodes side by side, one of which begins anew at the fourth step; asymmetric bounds."""
    spec = Spec(2, 2, *BOUNDS, 2)
    policy = made(spec, members=0)
    run, acting = written(policy, format, tmp_path), Policy(policy.act, policy.params, spec)
    obs = np.random.default_rng(2).normal(size=(7, 3, 2)).astype(np.float32)
    memory = np.zeros((3, 2 * 2 + 2 * 2 + 1), np.float32)
    for step in range(7):
        if step == 3:
            acting.reset(np.array([1]))
            memory = memory.copy()
            memory[1] = 99.0  # nothing of it is read ...
            memory[1, -1] = 0.0  # ... where an episode begins
        found = run(obs[step], memory)
        np.testing.assert_allclose(found["action"], acting(obs[step]), rtol=1e-5, atol=1e-6, err_msg=str(step))
        memory = found["next_memory"]
    assert memory[:, :4].tolist() == np.concatenate([obs[6], obs[5]], axis=1).tolist()
    assert memory[:, -1].tolist() == [1, 1, 1]
    fresh = run(obs[6], np.zeros_like(memory))["action"]
    assert np.abs(fresh - found["action"]).max() > 1e-3  # the memory matters


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("strange", [np.nan, -np.inf])
def test_what_is_no_number_is_out_of_distribution(format: str, strange: float, tmp_path: Path) -> None:
    policy = made(Spec(3, 2, *BOUNDS))
    assert policy.familiar is not None
    run = written(policy._replace(familiar=policy.familiar._replace(threshold=1e6)), format, tmp_path)
    obs = np.zeros((2, 3), np.float32)
    obs[1, 2] = strange
    assert run(obs)["out_of_distribution"].tolist() == [False, True]


@pytest.mark.parametrize("format", FORMATS)
def test_without_a_model_nothing_is_said_of_familiarity(format: str, tmp_path: Path) -> None:
    run = written(made(Spec(3, 2, *BOUNDS), members=0), format, tmp_path)
    found = run(1e4 * np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32))
    assert set(found) == {"action"}
    assert (found["action"] >= BOUNDS[0]).all()
    assert (found["action"] <= BOUNDS[1]).all()
    assert np.ptp(found["action"], axis=0).min() > 3.9  # both ends are reached, none is left


def test_what_is_in_the_onnx_file(tmp_path: Path) -> None:
    """Opset 18, named inputs and outputs with a free batch, one file without data beside it."""
    onnx = pytest.importorskip("onnx")
    written(made(Spec(3, 2, *BOUNDS, 1)), "onnx", tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["policy.onnx"]
    model = onnx.load(tmp_path / "policy.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    assert (model.producer_name, model.ir_version) == ("orl", 8)
    sides = {"in": model.graph.input, "out": model.graph.output}
    shapes = {
        side: {each.name: [dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in some}
        for side, some in sides.items()
    }
    assert shapes["in"] == {"obs": ["batch", 3], "memory": ["batch", 6]}
    assert shapes["out"] == {
        "action": ["batch", 2],
        "uncertainty": ["batch"],
        "out_of_distribution": ["batch"],
        "next_memory": ["batch", 6],
    }
