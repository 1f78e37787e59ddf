"""The network: what sees what, an independent NumPy version, tables and heads of their own, dropout, bfloat16."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_sequences import lively, some_tokens, tiny_model

from orl.sequence import gpt, lstm
from orl.sequence.dropout import dropout
from orl.sequence.gpt import attention_mask
from orl.sequence.layout import Layout

pytestmark = pytest.mark.usefixtures("quick_compiles")
LENGTH = 13  # two transitions of five tokens, and three tokens of the next
KINDS = [{"value_input": "fixed"}, {"value_input": "token"}, {"arch": "lstm"}]


@partial(jax.jit, static_argnums=0)
def logits_of(model, params, tokens, key=None):
    """The model's logits."""
    return model.logits(params, tokens, key)


def layer_norm(x, p):
    """Over the last axis, with the variance's 1e-6."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, -1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def slow_gpt(model, params, tokens) -> np.ndarray:
    """[T, V] logits in float64, position by position and head by head."""
    net = jax.tree.map(lambda x: np.asarray(x, np.float64), params.net)["params"]
    dims, heads, size = model.layout.dims, model.config.heads, model.config.width // model.config.heads
    rows = []
    for place, token in enumerate(tokens):
        row = net["vocabulary"]["tables"][place % dims][token]
        if place % dims == dims - 1 and model.config.value_input == "fixed":
            row = net["vocabulary"]["value_embedding"]
        rows.append(row + net["positions"][place])
    x = np.stack(rows)
    for layer in range(model.config.layers):
        p = net[f"blocks_{layer}"]
        q, k, v = np.split(layer_norm(x, p["attention_norm"]) @ p["qkv"]["kernel"] + p["qkv"]["bias"], 3, axis=1)
        mixed = np.zeros_like(x)
        for t in range(len(tokens)):
            seen = [s for s in range(t + 1) if s % dims != dims - 1]
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                weights = np.exp([q[t, part] @ k[s, part] / np.sqrt(size) for s in seen])
                mixed[t, part] = weights @ v[seen, part] / weights.sum()
        x = x + mixed @ p["project"]["kernel"] + p["project"]["bias"]
        grown = layer_norm(x, p["mlp_norm"]) @ p["expand"]["kernel"] + p["expand"]["bias"]
        grown = 0.5 * grown * (1 + np.tanh(np.sqrt(2 / np.pi) * (grown + 0.044715 * grown**3)))
        x = x + grown @ p["contract"]["kernel"] + p["contract"]["bias"]
    x = layer_norm(x, net["norm"])
    return np.stack([x[t] @ net["vocabulary"]["heads"][(t + 1) % dims] for t in range(len(tokens))])


def influence(model, params) -> np.ndarray:
    """[T, T] how far the logits after token q move at most when token i alone is another one."""
    base = np.asarray(some_tokens(model, 1, LENGTH))[0]
    altered = np.tile(base, (LENGTH + 1, 1))
    altered[np.arange(LENGTH), np.arange(LENGTH)] = (base + 3) % model.config.bins
    logits = np.asarray(logits_of(model, params, jnp.asarray(altered)))
    return np.abs(logits[:-1] - logits[-1]).max(-1)


@pytest.mark.parametrize("changes", KINDS)
def test_logits_depend_on_the_past_without_its_values(changes) -> None:
    """T2: not on a later token, on every earlier one, on no value token.

    With `value_input = "token"` on a value token just before: the leak of the reference code.
    """
    model = tiny_model(**changes)
    moved = influence(model, lively(model))
    before, query = np.indices((LENGTH, LENGTH))
    is_value = before % 5 == 4
    expected = (before <= query) & ~is_value
    if changes.get("value_input") == "token":
        expected |= is_value & (before == query)
    assert (moved[~expected] == 0.0).all()
    assert moved[expected].min() > 1e-4


@pytest.mark.parametrize("layout", [Layout(2, 1), Layout(1, 1), Layout(3, 2)])
@pytest.mark.parametrize("length", [1, 5, 12])
def test_the_attention_mask_is_that_of_a_loop(layout, length) -> None:
    mask = np.asarray(attention_mask(length, layout))
    assert mask.shape == (length, length)
    for query in range(length):
        for key in range(length):
            is_value = key % layout.dims == layout.obs_dim + layout.action_dim + 1
            assert mask[query, key] == (key <= query and not is_value)


@pytest.mark.parametrize(
    ("value_input", "length", "scale"), [("fixed", LENGTH, 1.0), ("token", 15, 1.0), ("fixed", LENGTH, 0.01)]
)
def test_a_pass_is_that_of_an_independent_network(value_input, length, scale) -> None:
    """Also where the hidden state is so small that the 1e-6 of its norms matters."""
    model = tiny_model(value_input=value_input)
    params, tokens = lively(model), some_tokens(model, 3, length)
    inner = {"tables", "value_embedding", "positions", "project", "contract"}  # what adds to the hidden state

    def scaled(path, leaf):
        return leaf * scale if inner & {part.key for part in path} else leaf

    params = params._replace(net=jax.tree_util.tree_map_with_path(scaled, params.net))
    found = np.asarray(logits_of(model, params, tokens))
    assert found.shape == (3, length, 8)
    assert found.std() > 1.0  # or there were nothing to compare
    for row in range(3):
        np.testing.assert_allclose(found[row], slow_gpt(model, params, np.asarray(tokens)[row]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes", KINDS)
def test_each_dimension_has_a_table_and_a_head_of_its_own(changes) -> None:
    """After token 6, an observation's second, logits use the head of dimension 2 and the tables of what they saw."""
    model = tiny_model(**changes)
    params, tokens = lively(model), some_tokens(model, 1, LENGTH)
    direction = jnp.asarray(np.random.default_rng(0).standard_normal(8), jnp.float32)

    @jax.jit
    @jax.grad
    def sensitivity(net):
        return model.logits(params._replace(net=net), tokens)[0, 6] @ direction

    found = jax.tree.map(lambda x: np.abs(x).max(-1), sensitivity(params.net)["params"]["vocabulary"])
    np.testing.assert_array_equal(np.flatnonzero(found["heads"].max(-1) > 0), [2])
    used = {(place % 5, int(tokens[0, place])) for place in range(7) if place != 4}
    assert {(int(d), int(v)) for d, v in zip(*np.nonzero(found["tables"]), strict=True)} == used


@pytest.mark.parametrize("arch", ["gpt", "lstm"])
def test_bins_not_in_use_get_no_probability(arch) -> None:
    model, counts = tiny_model(arch=arch), [8, 3, 6, 1, 5]
    params = lively(model, counts=counts)
    probs = jax.nn.softmax(logits_of(model, params, some_tokens(model, 2, 15)))
    hidden = jax.random.normal(jax.random.key(0), (4, 16))
    for place in range(15):
        dim = (place + 1) % 5
        assert (probs[:, place, : counts[dim]] > 0).all()
        assert (probs[:, place, counts[dim] :] == 0).all()
        if place < 5:
            next_probs = jax.nn.softmax(model.next_logits(params, hidden, dim))
            np.testing.assert_array_equal(next_probs > 0, np.broadcast_to(np.arange(8) < counts[dim], (4, 8)))


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("size", [200_000, 200_001])
def test_dropout_keeps_the_mean_and_drops_at_its_rate(rate, size) -> None:
    x = np.asarray(dropout(jax.random.key(0), jnp.full(size, 2.0), rate))
    dropped = x == 0.0
    deviation = np.sqrt(rate * (1 - rate) / size)
    assert abs(dropped.mean() - rate) < 4 * deviation
    np.testing.assert_allclose(x[~dropped], 2 / (1 - rate), rtol=1e-4)
    assert abs(x.mean() - 2.0) < 4 * 2 / (1 - rate) * deviation
    both = (dropped[:-1] & dropped[1:]).mean()  # neighbours share a random word, but no luck
    assert abs(both - rate**2) < 5 * rate / np.sqrt(size)


def test_dropout_depends_on_its_key_alone_and_needs_one() -> None:
    x = jax.random.normal(jax.random.key(9), (3, 5, 7))
    first, again, other = (dropout(jax.random.key(seed), x, 0.3) for seed in (0, 0, 1))
    assert first.shape == x.shape
    np.testing.assert_array_equal(first, again)
    assert ((first == 0) != (other == 0)).sum() > 10
    assert dropout(None, x, 0.3) is x
    assert dropout(jax.random.key(0), x, 0.0) is x
    assert dropout(jax.random.key(0), x.astype(jnp.bfloat16), 0.3).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("arch", "module", "shapes"),
    [("gpt", gpt, [(3, 2, 5, 5), (3, 5, 16), (3, 5, 16)]), ("lstm", lstm, [(3, 5, 16)])],
)
def test_dropout_is_on_embeddings_attention_and_branches_by_keys_of_their_own(
    arch, module, shapes, monkeypatch
) -> None:
    model = tiny_model(arch=arch, dropout=0.25)
    params, tokens = lively(model), some_tokens(model, 3, 5)

    @jax.jit
    def all_calls():
        calls = []
        monkeypatch.setattr(module, "dropout", lambda key, x, rate: (calls.append((key, x, rate)), x)[1])
        model.logits(params, tokens, jax.random.key(0))
        assert [x.shape for _, x, _ in calls] == [(3, 5, 16), *shapes * 2]
        assert {rate for *_, rate in calls} == {0.25}
        return jnp.stack([jax.random.key_data(key) for key, *_ in calls])

    assert len(np.unique(all_calls(), axis=0)) == 1 + 2 * len(shapes)


@pytest.mark.parametrize("arch", ["gpt", "lstm"])
def test_a_pass_is_random_with_a_key_only(arch) -> None:
    model, plain = tiny_model(arch=arch, dropout=0.3), tiny_model(arch=arch)
    params, tokens = lively(model), some_tokens(model, 2, 10)
    base = logits_of(model, params, tokens)
    np.testing.assert_array_equal(base, logits_of(plain, params, tokens))
    np.testing.assert_allclose(logits_of(plain, params, tokens, jax.random.key(0)), base, atol=1e-5)
    first, again, other = (logits_of(model, params, tokens, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - base).mean()) > 0.1
    assert float(jnp.abs(first - other).mean()) > 0.1


@pytest.mark.parametrize("arch", ["gpt", "lstm"])
def test_bfloat16_is_near_float32(arch) -> None:
    """Its numbers have 8 bits; logits and parameters are float32 all the same."""
    model, exact = tiny_model(arch=arch, dtype="bfloat16"), tiny_model(arch=arch)
    params, tokens = lively(model), some_tokens(model, 4, 15)
    fresh = jax.eval_shape(model.init, jax.random.key(0), params.discretiser)
    assert {leaf.dtype for leaf in jax.tree.leaves(fresh.net)} == {jnp.dtype("float32")}
    found, expected = logits_of(model, params, tokens), logits_of(exact, params, tokens)
    assert found.dtype == jnp.float32
    off = float(jnp.sqrt(jnp.mean((found - expected) ** 2)) / jnp.std(expected))
    assert 1e-4 < off < 0.03
