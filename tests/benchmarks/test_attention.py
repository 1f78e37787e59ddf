"""What the transformer's training and its beams are said to need, against the products that the programs do."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from program_products import ALL, products_of

from orl.planning.base import History
from orl.planning.beam import BeamConfig, make_beam
from orl.sequence.config import TransformerConfig
from orl.sequence.fit import init_fit, make_epoch, token_losses
from orl.sequence.tokens import token_store, windows
from orl_bench.attention import Decoder, beam_search, training_update
from orl_bench.hopper import ACT, OBS
from orl_bench.transformer import decoder_of, made_model


def test_the_transformers_loss_and_its_update() -> None:
    """More is done than needed: attention to what is masked, and logits after the last token."""
    config = TransformerConfig(batch_size=4, chunk=4, epoch_steps=3, steps=300)
    network, params, log = made_model(config, rows=300)
    train = token_store(log, params.discretiser, config)
    batch = windows(train, train.starts[:4], config.window)

    def loss(net: Any) -> jax.Array:
        return jnp.sum(token_losses(network.logits(params._replace(net=net), batch.tokens), batch)[0])

    needed = training_update(decoder_of(config), 4, config.window)
    assert ALL <= products_of(loss, params.net) / (needed / 3) <= 1.15
    assert ALL <= products_of(jax.grad(loss), params.net) / needed <= 1.15
    held = train._replace(starts=train.starts[:16])
    state = init_fit(network, params)
    epoch = products_of(make_epoch(network), state, params, jax.random.key(0), train, held)
    assert ALL <= epoch / (3 * needed + 16 / 4 * needed / 3) <= 1.15


@pytest.mark.parametrize(("beam", "horizon"), [(32, 5), (4, 6)])
def test_a_beam_with_and_without_windows_read_anew(beam: int, horizon: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # attention of few rows is written as sums on a CPU: as products it can be counted
    monkeypatch.setattr("orl.sequence.cache._as_sums", lambda rows: False, raising=False)
    network, params, _ = made_model(TransformerConfig(), rows=300)
    config = BeamConfig(beam=beam, horizon=horizon)
    past = (1, config.context)
    history = History(
        jnp.zeros((*past, OBS)),
        jnp.zeros((*past, ACT)),
        jnp.zeros(past),
        jnp.zeros((1, OBS)),
        jnp.full(1, config.context),
        jnp.zeros((1, horizon, ACT)),
    )
    done = products_of(make_beam(config, network), params, jax.random.split(jax.random.key(0), 1), history)
    needed = beam_search(
        decoder_of(network.config), OBS, network.config.window, config.context, beam, config.n_expand, horizon
    )
    assert ALL <= done / needed <= 1.25


def test_a_token_sees_itself_and_what_came_before_but_no_value() -> None:
    decoder = Decoder(layers=1, width=4, bins=3, dims=4)
    assert [decoder.visible(place) for place in range(9)] == [1, 2, 3, 3, 4, 5, 6, 6, 7]
    assert decoder.read(0, 1) == 2 * 4 * 48 + 2 * 2 * 4 * 1 + 2 * 4 * 3
