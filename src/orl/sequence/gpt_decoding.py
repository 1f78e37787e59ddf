"""Cached decoding of the GPT: the context is encoded once, beams carry their suffix, forks their own last tokens."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from orl.networks import forward
from orl.sequence.cache import MASKED, Part, attend_parts, empty_part, write
from orl.sequence.gpt import GPT, attend, attention_mask
from orl.types import Array, Params


class Cache(NamedTuple):
    """What R rows have read so far.

    Attributes:
        context: shared by each episode's rows.
        parts: stretches after it, each shared by the rows that were one row when it was read. All are full but the
            last, which grows token by token.
        padding: [B] int32, leading tokens of the context that are not there.
        written: int32, tokens in the last part.
    """

    context: Part
    parts: tuple[Part, ...]
    padding: Array
    written: Array


def start(module: GPT, params: Params, tokens: Array, padding: Array) -> tuple[Cache, Array]:
    """Read the context tokens [B, T], whose first `padding` [B] are not there.

    Returns the cache of B rows and the normalised hidden state [B, width] after the last token.
    """
    length = tokens.shape[1]
    places = jnp.arange(length)
    dims = places % module.layout.dims
    positions = jnp.maximum(places - padding[:, None], 0)
    x = forward(module, params, tokens, jnp.broadcast_to(dims, tokens.shape), positions, method=GPT.embed)
    visible = attention_mask(length, module.layout) & (places >= padding[:, None])[:, None, :]
    # a padding row sees nothing; its even spread over everything is never looked at again
    bias = jnp.where(visible, 0.0, MASKED)[:, None]
    keys, values = [], []
    for layer in range(module.layers):
        query, key, value = forward(module, params, layer, x, method=GPT.project_in)
        keys.append(jnp.moveaxis(key, 1, 3))
        values.append(jnp.moveaxis(value, 1, 2))
        if layer == module.layers - 1:  # of the last layer only the last position is read
            x, query, bias = x[:, -1:], query[:, -1:], bias[:, :, -1:]
        x = forward(module, params, layer, x, attend(query, key, value, bias, None, 0.0), method=GPT.project_out)
    cache = Cache(Part(tuple(keys), tuple(values)), (), padding, jnp.zeros((), jnp.int32))
    return cache, forward(module, params, x[:, 0], method=GPT.final_norm)


def fork(module: GPT, cache: Cache, rows: int, times: int, room: int) -> Cache:
    """Each of `rows` rows `times` over, with room for `room` tokens of its own; what they share is not copied."""
    size, dtype = module.width // module.heads, cache.context.values[0].dtype
    part = empty_part(module.layers, rows * times, module.heads, room, size, dtype)
    return cache._replace(parts=(*cache.parts, part), written=jnp.zeros((), jnp.int32))


def feed(module: GPT, params: Params, cache: Cache, tokens: Array) -> tuple[Cache, Array]:
    """Read one more token [R] (or relaxed one, [R, V]) a row into the last part; returns the hidden state after it."""
    *full, growing = cache.parts
    place = cache.context.length + sum(part.length for part in full) + cache.written
    positions = jnp.repeat(place - cache.padding, tokens.shape[0] // cache.padding.shape[0])
    dim = place % module.layout.dims
    if tokens.ndim == 1:
        x = forward(module, params, tokens, jnp.full_like(tokens, dim), positions, method=GPT.embed)
    else:
        x = forward(module, params, tokens, dim, positions, method=GPT.embed_mixture)
    biases = _biases(module, cache)
    keys, values = list(growing.keys), list(growing.values)
    for layer in range(module.layers):
        query, key, value = forward(module, params, layer, x, method=GPT.project_in)
        keys[layer], values[layer] = write(growing, layer, key, value, cache.written)
        read = [(part.keys[layer], part.values[layer]) for part in (cache.context, *full)]
        read.append((keys[layer], values[layer]))
        mixed = attend_parts(query, [(*pair, bias) for pair, bias in zip(read, biases, strict=True)])
        x = forward(module, params, layer, x, mixed, method=GPT.project_out)
    grown = Part(tuple(keys), tuple(values))
    cache = cache._replace(parts=(*full, grown), written=cache.written + 1)
    return cache, forward(module, params, x, method=GPT.final_norm)


def adopt(cache: Cache, chosen: Array) -> Cache:
    """The cache of the rows `chosen` [N], with one part for all that each has read. All parts must be full.

    Rows that share a context must stay with it: chosen in the order of its groups, as many for each. Only where every
    chosen row is to have a context of its own do the contexts go with their rows.
    """
    rows = cache.parts[-1].groups
    if cache.context.groups == chosen.shape[0]:
        mine = chosen // (rows // cache.context.groups)
        context = Part(*jax.tree.map(lambda leaf: leaf[mine], tuple(cache.context)))
        cache = cache._replace(context=context, padding=cache.padding[mine])

    def joined(leaves: tuple[Array, ...], axis: int) -> Array:
        return jnp.concatenate([leaf[chosen // (rows // leaf.shape[0])] for leaf in leaves], axis)

    keys = tuple(joined(leaves, 3) for leaves in zip(*(part.keys for part in cache.parts), strict=True))
    values = tuple(joined(leaves, 2) for leaves in zip(*(part.values for part in cache.parts), strict=True))
    part = Part(keys, values)
    return cache._replace(parts=(part,), written=jnp.asarray(part.length))


def _biases(module: GPT, cache: Cache) -> list[Array]:
    """What each stretch hides: padding, value tokens, room not yet written (the token being read is)."""
    places = jnp.arange(cache.context.length)
    visible = [(places >= cache.padding[:, None]) & (places % module.layout.dims != module.layout.value)]
    before = cache.context.length
    for part in cache.parts:
        places = before + jnp.arange(part.length)
        visible.append((places % module.layout.dims != module.layout.value)[None])
        before += part.length
    visible[-1] &= jnp.arange(cache.parts[-1].length) <= cache.written
    return [jnp.where(each, 0.0, MASKED) for each in visible]
