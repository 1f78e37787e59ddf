"""The Trajectory Transformer at Hopper's sizes (16 tokens a transition, 4 layers x 4 heads x 128): training, planning.

The reference repository on the same kind of machine (two cores): 10,300 and 5,200 tokens/s at batch 64 and 256; 4.85,
14.3 and 57 to 78 s per action for a beam of 32 x 5, 32 x 15 and 128 x 15.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from benchmarks.harness import Result, result
from orl.planning.beam import BeamConfig, make_beam
from orl.planning.receding import Planner
from orl.sequence.config import TransformerConfig
from orl.sequence.fit import init_fit, make_epoch
from orl.sequence.model import SequenceModel, SequenceParams
from orl.sequence.tokens import Log, make_discretiser, token_store
from orl.types import Spec

OBS, ACT = 11, 3
SPEC = Spec(OBS, ACT, (-1.0,) * ACT, (1.0,) * ACT)


def made_log(rows: int, length: int = 1000) -> Log:
    """Random episodes of Hopper's shape."""
    rng = np.random.default_rng(0)
    last = np.minimum((np.arange(rows) // length + 1) * length, rows) - 1
    return Log(
        obs=rng.standard_normal((rows, OBS), np.float32),
        action=rng.uniform(-1, 1, (rows, ACT)).astype(np.float32),
        reward=rng.standard_normal(rows, np.float32),
        terminated=np.zeros(rows, bool),
        last=last,
        cut=np.ones(rows, bool),
        beyond=np.zeros(rows, np.float32),
    )


def made_model(config: TransformerConfig, rows: int = 5000) -> tuple[SequenceModel, SequenceParams, Log]:
    """An unfitted model and a log."""
    model, log = SequenceModel(config, OBS, ACT), made_log(rows)
    return model, jax.jit(model.init)(jax.random.key(0), make_discretiser(log, config)), log


def token_gflop(config: TransformerConfig, length: float) -> float:
    """Arithmetic of one token's forward pass that attends to `length` others, in units of 1e9."""
    blocks = config.layers * (2 * 12 * config.width**2 + 4 * config.width * length)
    return (blocks + 2 * config.width * config.bins) / 1e9


def bench_training(batch: int, quick: bool) -> Result:
    """Updates of the default model; forward and backward count as three forward passes."""
    updates = 2 if quick else 8
    config = TransformerConfig(batch_size=batch, epoch_steps=updates, steps=100 * updates)
    model, params, log = made_model(config)
    train = token_store(log, params.discretiser, config)
    holdout = train._replace(starts=train.starts[:16])
    epoch, state, key = jax.jit(make_epoch(model)), init_fit(model, params), jax.random.key(1)
    length = config.window * model.layout.dims - 1
    tokens = updates * batch * length
    gflop = 3 * tokens * token_gflop(config, length)
    call = lambda: epoch(state, params, key, train, holdout)  # noqa: E731
    return result(
        f"transformer training, batch {batch}", f"{length} tokens a window, {updates} updates", "tokens", tokens, gflop,
        call, 3 if quick else 5,
    )  # fmt: skip


def bench_beam(beam: int, horizon: int, episodes: int, repeats: int) -> Result:
    """One planning call as `orl plan` makes it, context 5, n_expand 2."""
    model, params, _ = made_model(TransformerConfig())
    config = BeamConfig(beam=beam, horizon=horizon)
    planner = Planner(make_beam(config, model), params, SPEC, context=config.context, horizon=horizon)
    rng = np.random.default_rng(0)

    def call() -> np.ndarray:
        return planner(rng.standard_normal((episodes, OBS), np.float32), np.zeros(episodes, np.float32))

    for _ in range(config.context):
        call()  # fills the context, and compiles
    gflop = episodes * beam_gflop(config, model)
    name = f"plan, beam {beam} x {horizon}, {episodes} env" + "s" * (episodes > 1)
    return result(name, "context 5, n_expand 2", "actions", episodes, gflop, call, repeats)


def beam_gflop(config: BeamConfig, model: SequenceModel) -> float:
    """Arithmetic of one episode's search, windows that are read anew included."""
    window, dims = model.config.window, model.layout.dims
    per_token = token_gflop(model.config, 0.75 * window * dims)
    segment = window - config.context
    anew = -(-(config.horizon - segment) // segment) if config.horizon > segment else 0
    read = config.context * dims + OBS + anew * config.beam * config.context * dims
    acted = config.horizon * config.beam * config.n_expand * (ACT + 1)
    observed = (config.horizon - 1) * config.beam * (OBS + 1)
    return (read + acted + observed) * per_token


def benchmarks(quick: bool) -> Iterator[Result]:
    """Every benchmark of this file, in the order of a run."""
    yield bench_training(64, quick)
    if not quick:
        yield bench_training(256, quick)
    yield bench_beam(32, 5, 1, 3 if quick else 9)
    if not quick:
        yield bench_beam(32, 5, 16, 5)
        yield bench_beam(32, 15, 1, 7)
        yield bench_beam(128, 15, 1, 5)
