"""Fitting: gradients in chunks and behind an episode's end, epochs, the best of them, and a cycle learned."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_sequences import lively, some_tokens, tiny_model

from orl.finite import tell
from orl.sequence import fit
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import TokenStore

pytestmark = pytest.mark.usefixtures("quick_compiles")
CYCLE = np.array([[0, 1, 2, 3, 4], [3, 1, 4, 0, 2], [2, 0, 3, 1, 4], [4, 2, 0, 1, 3], [1, 4, 0, 2, 3]])
LEARNER = {"layers": 1, "steps": 200, "epoch_steps": 50, "learning_rate": 1e-2, "warmup_steps": 20, "chunk": 4}


def small_model(**changes) -> SequenceModel:
    """One layer: its gradient compiles faster."""
    return tiny_model(**{"layers": 1, "width": 8} | changes)


def store_of(tokens, lengths, starts=None) -> TokenStore:
    """Tokens [N, 5] of episodes of the given lengths, all values known."""
    last = np.repeat(np.cumsum(lengths) - 1, lengths)
    starts = np.arange(len(tokens)) if starts is None else starts
    known = jnp.ones(len(tokens), bool)
    return TokenStore(jnp.asarray(tokens, jnp.uint8), jnp.asarray(last, jnp.int32), known, jnp.asarray(starts))


def cyclic_store(episodes: int) -> TokenStore:
    """Episodes of 20 rows, each token of which is a function of the time modulo 5."""
    phase = np.concatenate([(2 * episode + np.arange(20)) % 5 for episode in range(episodes)])
    return store_of(CYCLE[:, phase].T, [20] * episodes)


def random_store(episodes: int) -> TokenStore:
    """As many rows of any tokens."""
    return store_of(some_tokens(tiny_model(), 20 * episodes, 5, seed=5), [20] * episodes)


@partial(jax.jit, static_argnums=0)
def gradient(model, net, params, store, key):
    """The batch's gradient, and its losses by kind."""
    return fit._gradient(model, params._replace(net=net), store, key)


held_out = jax.jit(fit.holdout_losses, static_argnums=0)


def off(found, expected) -> float:
    """The largest difference of two trees' leaves, as a share of the leaf's largest number."""
    pairs = zip(*(map(np.asarray, jax.tree.leaves(tree)) for tree in (found, expected)), strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)) for a, b in pairs)


class Fitted(NamedTuple):
    """Epochs that were run: the net and the metrics after each, the last state, and a list with an entry a trace."""

    epoch_fn: Callable[..., Any]
    params: SequenceParams
    nets: list[Any]
    metrics: list[dict[str, float]]
    state: fit.FitState
    traces: list[int]


@pytest.fixture(scope="module")
def learning(quick_compiles) -> Fitted:
    """Four epochs of 50 updates on a cycle and two on noise, with a cycle held out."""
    model, traces = tiny_model(**LEARNER), []
    epoch = fit.make_epoch(model)
    epoch_fn = jax.jit(lambda *inputs: (traces.append(1), epoch(*inputs))[1], donate_argnums=0)
    params = jax.jit(model.init)(jax.random.key(0), lively(model).discretiser)
    state, nets, metrics = fit.init_fit(model, params), [], []
    for train in [cyclic_store(4)] * 4 + [random_store(4)] * 2:
        state, found, _ = epoch_fn(state, params, jax.random.key(1), train, cyclic_store(2))
        nets.append(jax.tree.map(np.array, state.net))
        metrics.append({name: float(value) for name, value in found.items()})
    return Fitted(epoch_fn, params, nets, metrics, state, traces)


def test_chunks_add_up_to_the_gradient_of_the_mean_loss() -> None:
    """A store with one start knows its batch: the gradient is that of its one window, however it is cut."""
    whole, chunked = small_model(chunk=0), small_model(chunk=2)
    params, key = lively(whole), jax.random.key(3)
    several = random_store(4)._replace(starts=jnp.asarray([0, 7, 18, 19, 37, 60]))  # some reach past an end
    (one, sums), (other, chunk_sums) = (gradient(m, params.net, params, several, key) for m in (whole, chunked))
    assert off(other, one) < 1e-5
    np.testing.assert_allclose(jnp.asarray(chunk_sums), jnp.asarray(sums), rtol=1e-5)
    single = several._replace(starts=jnp.full(6, 18))
    window = jnp.asarray(np.asarray(single.tokens)[[18, 19]], jnp.int32).reshape(1, 10)
    weights = np.array([1, 5, 1, 1, 1, 1, 5, 1, 1])

    @jax.jit
    @jax.grad
    def expected(net):
        logged = jax.nn.log_softmax(whole.logits(params._replace(net=net), window))[0]
        return -jnp.sum(weights * logged[jnp.arange(9), window[0, 1:]]) / 9

    assert off(gradient(whole, params.net, params, single, key)[0], expected(params.net)) < 1e-5


def test_what_lies_behind_an_end_has_no_part_in_the_gradient(monkeypatch) -> None:
    """Garbage in all tokens that do not count, the next episode's or a value nobody knows, changes nothing."""
    model, key = small_model(chunk=0), jax.random.key(3)
    params, store = lively(model), random_store(4)._replace(starts=jnp.asarray([0, 0, 17, 18, 18, 19]))
    store = store._replace(value_known=store.value_known.at[jnp.asarray([1, 18])].set(False))
    found, sums = gradient(model, params.net, params, store, key)
    next_tokens = store._replace(tokens=store.tokens.at[20:].set(7 - store.tokens[20:]))
    other, other_sums = gradient(model, params.net, params, next_tokens, key)
    assert off(other, found) == 0.0
    plain = fit.windows

    def garbled(*inputs):
        batch = plain(*inputs)
        return batch._replace(tokens=jnp.where(batch.counts, batch.tokens, 7 - batch.tokens))

    monkeypatch.setattr(fit, "windows", garbled)
    third, third_sums = jax.jit(lambda net: fit._gradient(model, params._replace(net=net), store, key))(params.net)
    assert off(third, found) < 1e-6
    np.testing.assert_array_equal(other_sums[1], sums[1])
    np.testing.assert_allclose(third_sums[0], sums[0], rtol=1e-6)


def test_dropout_is_on_in_training() -> None:
    """One window again and again, so keys can matter to dropout alone."""
    store, keys = random_store(4)._replace(starts=jnp.full(6, 4)), jax.random.split(jax.random.key(0), 2)
    for rate in (0.0, 0.5):
        model = small_model(chunk=0, dropout=rate)
        params = lively(model)
        first, again, other = (gradient(model, params.net, params, store, keys[i])[0] for i in (0, 0, 1))
        assert off(again, first) == 0.0
        assert off(other, first) > 0.1 if rate else off(other, first) < 1e-5


def test_held_out_losses_are_those_of_every_window_once() -> None:
    """Nineteen windows, read sixteen at a time, without dropout."""
    model = small_model(dropout=0.3)
    params, store = lively(model), random_store(1)._replace(starts=jnp.arange(1, 20))
    sums, counts = held_out(model, params, store)
    rows = np.minimum(np.arange(1, 20)[:, None] + np.arange(3), 19)
    tokens = np.asarray(store.tokens)[rows].reshape(19, 15).astype(np.int32)
    logged = np.asarray(jax.nn.log_softmax(jax.jit(model.logits)(params, jnp.asarray(tokens))))
    expected, numbers = np.zeros(4), np.zeros(4)
    for window, place in np.ndindex(19, 15):
        if place and 1 + window + place // 5 <= 19:
            kind = [0, 0, 1, 2, 3][place % 5]
            expected[kind] -= logged[window, place - 1, tokens[window, place]]
            numbers[kind] += 1
    np.testing.assert_allclose(sums, expected, rtol=1e-4)
    np.testing.assert_array_equal(counts, numbers)
    assert numbers.tolist() == [19 + 2 * (18 + 17), 54, 54, 54]


def test_a_cycle_is_learned_to_a_tenth_of_a_nat(learning) -> None:
    """Where the frequencies of the five tokens alone would leave 1.6 nats, and nothing at all 2.1."""
    store, after = cyclic_store(2), learning.metrics[3]
    shares = np.stack([np.bincount(column, minlength=8) for column in np.asarray(store.tokens).T]) / 40
    entropy = -np.sum(shares * np.log(np.maximum(shares, 1e-9)), axis=1)
    np.testing.assert_allclose(entropy, np.log(5), rtol=1e-6)
    for kind in ("obs", "action", "reward", "value"):
        assert 0.0 < after[f"holdout_{kind}"] < 0.1
        assert 0.0 < after[f"train_{kind}"] < 0.1
        assert learning.metrics[0][f"train_{kind}"] > after[f"train_{kind}"]
    params = learning.params._replace(net=learning.nets[3])
    sums, counts = held_out(tiny_model(**LEARNER), params, store)
    np.testing.assert_allclose(after["holdout_action"], sums[1] / counts[1], rtol=1e-4)
    expected = (sums[0] + 5 * sums[1] + sums[2] + sums[3]) / counts.sum()
    np.testing.assert_allclose(after["holdout_loss"], expected, rtol=1e-4)


def test_epochs_compile_once(learning) -> None:
    assert len(learning.traces) == 1
    assert len(learning.metrics) == int(learning.state.epoch) == 6


def test_an_epoch_depends_on_its_key_and_its_number_alone(learning) -> None:
    model, train, held = tiny_model(**LEARNER), cyclic_store(4), cyclic_store(2)

    def first(seed: int, number: int = 0) -> tuple[Any, float]:
        state = fit.init_fit(model, learning.params)._replace(epoch=jnp.asarray(number, jnp.int32))
        state, metrics, _ = learning.epoch_fn(state, learning.params, jax.random.key(seed), train, held)
        assert int(state.epoch) == number + 1
        return state.net, float(metrics["train_obs"])

    net, loss = first(1)
    assert off(net, learning.nets[0]) == 0.0
    assert loss == learning.metrics[0]["train_obs"]
    assert abs(first(2)[1] - loss) > 1e-4
    assert abs(first(1, number=1)[1] - loss) > 1e-4


@pytest.mark.parametrize(("keep", "index"), [("best", 3), ("last", 5)])
def test_the_best_epoch_or_the_last_one_is_kept(learning, keep, index) -> None:
    """The fourth was the best: after it, noise was learned."""
    losses = [each["holdout_loss"] for each in learning.metrics]
    assert int(np.argmin(losses)) == 3
    assert losses[5] > losses[3] + 1.0
    found = fit.finish_fit(tiny_model(**LEARNER, keep=keep), learning.params, learning.state)
    assert off(found.net, learning.nets[index]) == 0.0
    assert found.discretiser is learning.params.discretiser
    assert [each["best_loss"] for each in learning.metrics] == np.minimum.accumulate(losses).tolist()
    assert float(learning.state.best_loss) == losses[3]


def test_bfloat16_trains(learning) -> None:
    """Finite, downwards, and with parameters that stay float32."""
    model = tiny_model(**LEARNER | {"dtype": "bfloat16", "epoch_steps": 60, "warmup_steps": 0})
    epoch_fn, state = jax.jit(fit.make_epoch(model)), fit.init_fit(model, learning.params)
    state, metrics, _ = epoch_fn(state, learning.params, jax.random.key(0), cyclic_store(4), cyclic_store(2))
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert float(metrics["holdout_reward"]) < 1.0
    assert {leaf.dtype for leaf in jax.tree.leaves(state.net)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("update", [-1, 0])
def test_what_is_not_finite_is_named(update: int, learning: Fitted) -> None:
    """A parameter before any update; a loss, where a parameter that is finite cannot be multiplied."""

    def broken(path: tuple, leaf: jax.Array) -> jax.Array:
        name = "/".join(str(key.key) for key in path)
        return leaf.at[1, 2].set(jnp.nan if update < 0 else 3e38) if name.endswith("blocks_0/qkv/kernel") else leaf

    params = learning.params._replace(net=jax.tree_util.tree_map_with_path(broken, learning.params.net))
    state = fit.init_fit(tiny_model(**LEARNER), params)
    _, _, onset = learning.epoch_fn(state, learning.params, jax.random.key(1), cyclic_store(4), cyclic_store(2))
    assert tell(onset) == (0, update, "blocks_0/qkv/kernel" if update < 0 else "loss")
