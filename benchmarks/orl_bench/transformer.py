"""The Trajectory Transformer at Hopper's sizes: 16 tokens a transition, 4 layers of 4 heads and width 128."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from orl.planning.beam import BeamConfig, make_beam
from orl.planning.receding import Planner
from orl.sequence.config import TransformerConfig
from orl.sequence.fit import init_fit, make_epoch
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import Log, make_discretiser, token_store
from orl.types import Spec
from orl_bench.attention import Decoder, beam_search, training_update
from orl_bench.harness import Benchmark, Setting, Work
from orl_bench.hopper import ACT, OBS, token_log

SPEC = Spec(OBS, ACT, (-1.0,) * ACT, (1.0,) * ACT)
BEAMS = [(32, 5), (32, 15), (128, 15)]
EPISODES = 16


def decoder_of(config: TransformerConfig) -> Decoder:
    """The shape that the counts of operations speak of."""
    return Decoder(config.layers, config.width, config.bins, OBS + ACT + 2)


def made_model(config: TransformerConfig, rows: int = 5000) -> tuple[SequenceModel, SequenceParams, Log]:
    """An unfitted model and a log."""
    model, log = SequenceModel(config, OBS, ACT), token_log(rows)
    return model, jax.jit(model.init)(jax.random.key(0), make_discretiser(log, config)), log


def training_work(batch: int, setting: Setting) -> Work:
    """Updates of the default model, and the losses of 16 held-out windows that end an epoch."""
    updates = 1 if setting.quick else 8
    config = TransformerConfig(batch_size=batch, epoch_steps=updates, steps=100 * updates)
    model, params, log = made_model(config)
    train = token_store(log, params.discretiser, config)
    holdout = train._replace(starts=train.starts[:16])
    epoch, state, key = jax.jit(make_epoch(model), donate_argnums=0), init_fit(model, params), jax.random.key(1)

    def call() -> Any:
        nonlocal state
        state, metrics, _ = epoch(state, params, key, train, holdout)
        return state, metrics

    tokens = config.window * model.layout.dims - 1
    return Work(
        workload=f"batch {batch} in chunks of {config.chunk}, {tokens} tokens a window, {updates} updates",
        unit="tokens",
        count=updates * batch * tokens,
        amount=updates * training_update(decoder_of(config), batch, config.window) / 1e9,
        call=call,
        repeats=3 if setting.quick else 5,
    )


def plan_work(beam: int, horizon: int, episodes: int, setting: Setting) -> Work:
    """One planning call as `orl plan` makes it; how much of the context is known does not change its work."""
    model, params, _ = made_model(TransformerConfig())
    config = BeamConfig(beam=beam, horizon=horizon)
    planner = Planner(make_beam(config, model), params, SPEC, context=config.context, horizon=horizon)
    rng, window = np.random.default_rng(0), model.config.window
    flop = beam_search(decoder_of(model.config), OBS, window, config.context, beam, config.n_expand, horizon)
    return Work(
        workload=f"context {config.context}, {config.n_expand} children a beam, {episodes} episodes side by side",
        unit="actions",
        count=episodes,
        amount=episodes * flop / 1e9,
        call=lambda: planner(rng.standard_normal((episodes, OBS), np.float32), np.zeros(episodes, np.float32)),
        repeats=3 if episodes * beam * horizon > 5000 else 5,
    )


BENCHMARKS = [
    Benchmark("transformer-64", "transformer", partial(training_work, 64)),
    Benchmark("transformer-256", "transformer", partial(training_work, 256), quick=False),
    *(
        Benchmark(f"plan-{beam}x{horizon}", "transformer", partial(plan_work, beam, horizon, 1), quick=horizon == 5)
        for beam, horizon in BEAMS
    ),
    *(
        Benchmark(
            f"plan-{beam}x{horizon}-{EPISODES}-envs",
            "transformer",
            partial(plan_work, beam, horizon, EPISODES),
            quick=False,
        )
        for beam, horizon in BEAMS
    ),
]
