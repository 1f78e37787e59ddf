"""Decoding token by token from a cache: the logits of a pass over whole sequences, however rows were forked."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_sequences import lively, some_tokens, tiny_model

from orl.sequence import cache as cache_module
from orl.sequence.cache import attend_parts, part_mix, part_scores

pytestmark = pytest.mark.usefixtures("quick_compiles")
CONTEXT = 12  # two transitions of five tokens, and the observation of the next
ROOMS = (3, 2, 3, 4)  # tokens read after each fork; rows are adopted anew before the last two
MOST_ROWS = 36
WALKS = [
    ({}, (1, 3, 3, 1)),
    ({"value_input": "token"}, (3, 1, 3, 1)),
    ({"arch": "lstm"}, (1, 3, 3, 1)),
]

static = partial(jax.jit, static_argnums=0)
start = static(lambda model, *inputs: model.start(*inputs))
feed = static(lambda model, *inputs: model.feed(*inputs))
adopt = static(lambda model, *inputs: model.adopt(*inputs))
next_logits = static(lambda model, *inputs: model.next_logits(*inputs))
all_logits = static(lambda model, *inputs: model.logits(*inputs))


def walk(model, params, context, padding, times, other_values=False):
    """(each row's tokens without padding, hidden states [R, width]) after the context and after every further token.

    With `other_values` the value tokens read later are other ones.
    """
    rng, batch = np.random.default_rng(1), len(padding)
    cache, hidden = start(model, params, jnp.asarray(context), jnp.asarray(padding, jnp.int32))
    rows = [list(row[skip:]) for row, skip in zip(np.asarray(context), padding, strict=True)]
    yield rows, hidden
    place = CONTEXT
    for stage, (count, room) in enumerate(zip(times, ROOMS, strict=True)):
        if stage >= 2:
            each = len(rows) // batch
            picks = [[each - 1, episode % each, episode % each, 0][: 6 - stage] for episode in range(batch)]
            chosen = np.concatenate([each * episode + np.asarray(pick) for episode, pick in enumerate(picks)])
            cache, hidden = adopt(model, cache, hidden, jnp.asarray(chosen))
            rows = [list(rows[row]) for row in chosen]
        cache, hidden = model.fork(cache, hidden, count, room)
        rows = [list(row) for row in rows for _ in range(count)]
        yield rows, hidden
        for _ in range(room):
            tokens = rng.integers(0, 8, len(rows))
            if other_values and place % 5 == 4:
                tokens = (tokens + 3) % 8
            cache, hidden = feed(model, params, cache, jnp.asarray(tokens, jnp.int32))
            for row, token in zip(rows, tokens, strict=True):
                row.append(int(token))
            place += 1
            yield rows, hidden


def uncached(model, params, rows) -> np.ndarray:
    """[R, V] logits of the token after each row, by a pass over rows filled up with whatever behind their end."""
    whole = np.asarray(some_tokens(model, MOST_ROWS, 25, seed=9)).copy()
    for row, tokens in zip(whole, rows, strict=False):
        row[: len(tokens)] = tokens
    logits = np.asarray(all_logits(model, params, jnp.asarray(whole)))
    return np.stack([logits[index, len(tokens) - 1] for index, tokens in enumerate(rows)])


@pytest.mark.parametrize(("changes", "times"), WALKS)
def test_cached_logits_are_those_of_a_whole_pass(changes, times) -> None:
    """T3: after a context with padding, after forks and single tokens, after rows were reordered and doubled."""
    model = tiny_model(window=5, **changes)
    params, context = lively(model), np.asarray(some_tokens(model, 3, CONTEXT))
    sizes = []
    for rows, hidden in walk(model, params, context, (0, 5, 10), times):
        found = next_logits(model, params, hidden, jnp.asarray(len(rows[0]) % 5))
        np.testing.assert_allclose(found, uncached(model, params, rows), atol=1e-4)
        sizes.append((len(rows), len(rows[0])))
    assert sizes[0] == (3, CONTEXT)
    assert sizes[-1] == (9, CONTEXT + sum(ROOMS))
    assert max(count for count, _ in sizes) == MOST_ROWS  # a dozen an episode, so products and sums both had a turn


@pytest.mark.parametrize(("changes", "times"), WALKS)
def test_value_tokens_leave_no_trace_in_the_cache(changes, times) -> None:
    """Neither those of the context nor those read later, but where a token itself is fed, on the very next logits."""
    model = tiny_model(window=5, **changes)
    params, context = lively(model), np.asarray(some_tokens(model, 3, CONTEXT))
    altered = context.copy()
    altered[:, [4, 9]] = (context[:, [4, 9]] + 3) % 8
    one = walk(model, params, context, (0, 0, 0), times)
    other = walk(model, params, altered, (0, 0, 0), times, other_values=True)
    for (rows, hidden), (_, other_hidden) in zip(one, other, strict=True):
        if changes.get("value_input") == "token" and len(rows[0]) % 5 == 0:
            assert float(jnp.abs(hidden - other_hidden).max()) > 1e-3
        else:
            np.testing.assert_array_equal(hidden, other_hidden)
    assert len(rows[0]) == 24


@pytest.mark.parametrize(("changes", "times"), WALKS)
def test_padding_leaves_no_trace(changes, times) -> None:
    model = tiny_model(window=5, **changes)
    params, context = lively(model), np.asarray(some_tokens(model, 3, CONTEXT))
    altered = context.copy()
    altered[1, :5], altered[2, :10] = (context[1, :5] + 3) % 8, (context[2, :10] + 1) % 8
    one, other = (walk(model, params, tokens, (0, 5, 10), times) for tokens in (context, altered))
    steps = 0
    for (_, hidden), (_, other_hidden) in zip(one, other, strict=True):
        np.testing.assert_array_equal(hidden, other_hidden)
        steps += 1
    assert steps == 1 + 4 + sum(ROOMS)


@pytest.mark.parametrize(("changes", "times"), WALKS)
def test_a_relaxed_token_is_the_mean_of_tokens(changes, times) -> None:
    """Half of token 0 and half of token 1 are token 7, once the tables say that its embedding is their mean."""
    model = tiny_model(window=5, **changes)
    params = lively(model)
    vocabulary = params.net["params"]["vocabulary"]
    tables = vocabulary["tables"].at[:, 7].set(vocabulary["tables"][:, :2].mean(1))
    params = params._replace(net={"params": params.net["params"] | {"vocabulary": vocabulary | {"tables": tables}}})
    begun = start(model, params, some_tokens(model, 3, CONTEXT), jnp.zeros(3, jnp.int32))
    one, other = (model.fork(*begun, times[0], 3) for _ in range(2))
    rows = 3 * times[0]
    for _ in range(3):
        one = feed(model, params, one[0], jnp.full(rows, 7, jnp.int32))
        other = feed(model, params, other[0], jnp.tile(jnp.asarray([0.5, 0.5, *[0.0] * 6]), (rows, 1)))
        np.testing.assert_allclose(one[1], other[1], atol=1e-5)
    assert float(jnp.abs(one[1]).mean()) > 0.1


def test_what_rows_share_is_stored_once() -> None:
    model = tiny_model(window=5)
    params, tokens = lively(model), some_tokens(model, 3, CONTEXT)
    cache, hidden = start(model, params, tokens, jnp.zeros(3, jnp.int32))
    cache, hidden = model.fork(cache, hidden, 4, 2)
    cache, hidden = model.fork(cache, hidden, 2, 5)
    assert hidden.shape == (24, 16)
    assert (cache.context.groups, cache.context.length) == (3, CONTEXT)
    assert [(part.groups, part.length) for part in cache.parts] == [(12, 2), (24, 5)]
    cache, hidden = adopt(model, cache, hidden, jnp.asarray([1, 7, 9, 12, 23, 23]))
    assert hidden.shape == (6, 16)
    assert (cache.context.groups, [(part.groups, part.length) for part in cache.parts]) == (3, [(6, 7)])


@pytest.mark.parametrize(("rows_per_group", "size"), [(1, 1.0), (8, 100.0), (9, 1.0)])
def test_attention_over_parts_is_attention_over_all_of_them(rows_per_group, size) -> None:
    """Against float64, with a context for each group of rows, a part for each row, and one bias for all of it.

    Scores of several hundreds, whose exponentials float32 does not know, are no trouble.
    """
    rng, groups, rows = np.random.default_rng(0), 2, 2 * rows_per_group
    query = (size * rng.standard_normal((rows, 3, 4))).astype(np.float32)
    parts = []
    for owners, length in ((groups, 5), (rows, 2)):
        keys, values = rng.standard_normal((owners, 3, 4, length)), rng.standard_normal((owners, 3, length, 4))
        parts.append((keys.astype(np.float32), values.astype(np.float32)))
    biases = [np.where(rng.random((groups, 5)) < 0.4, -1e30, 0.0), np.asarray([[0.0, -1e30]])]
    found = attend_parts(jnp.asarray(query), [(k, v, jnp.asarray(b)) for (k, v), b in zip(parts, biases, strict=True)])
    for row in range(rows):
        group = row // rows_per_group
        keys = np.concatenate([parts[0][0][group], parts[1][0][row]], axis=-1).astype(np.float64)
        values = np.concatenate([parts[0][1][group], parts[1][1][row]], axis=-2)
        scores = np.einsum("hd,hdt->ht", query[row], keys) + np.concatenate([biases[0][group], biases[1][0]])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        np.testing.assert_allclose(found[row], np.einsum("ht,htd->hd", weights, values), rtol=1e-4, atol=1e-5 * size)


def test_a_few_rows_a_group_are_summed_on_a_cpu_only(monkeypatch) -> None:
    for device, summed in (("cpu", [False, True, True, False, False]), ("gpu", [False] * 5)):
        monkeypatch.setattr(cache_module.jax, "default_backend", lambda device=device: device)
        assert [cache_module._as_sums(rows) for rows in (1, 2, 8, 9, 100)] == summed


@pytest.mark.parametrize("rows_per_group", [1, 3, 12])
def test_sums_and_products_are_the_same(rows_per_group, monkeypatch) -> None:
    rng, rows = np.random.default_rng(0), 2 * rows_per_group
    query, weights = rng.standard_normal((rows, 3, 4)), rng.random((rows, 3, 5))
    keys, values = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3, 5, 4))
    owner = np.arange(rows) // rows_per_group
    for sums in (False, True):
        monkeypatch.setattr(cache_module, "_as_sums", lambda rows, sums=sums: sums)
        scores = part_scores(jnp.asarray(query, jnp.float32), jnp.asarray(keys, jnp.float32))
        mixed = part_mix(jnp.asarray(weights, jnp.float32), jnp.asarray(values, jnp.float32))
        np.testing.assert_allclose(scores, np.einsum("rhd,rhdt->rht", query, keys[owner]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(mixed, np.einsum("rht,rhtd->rhd", weights, values[owner]), rtol=1e-4, atol=1e-5)
