"""What training minimises, by hand and by NumPy, and the optimiser: decay, clipping, warm-up and cosine."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_sequences import lively, some_tokens, tiny_config, tiny_model

from orl.sequence import fit
from orl.sequence.layout import Layout
from orl.sequence.tokens import Windows

pytestmark = pytest.mark.usefixtures("quick_compiles")
KIND = [0, 0, 1, 2, 3]  # of the five tokens of a transition


def made_batch() -> tuple[np.ndarray, Windows]:
    """Logits [2, 15, 8] of two windows, the second of which ends after its first transition, and the windows."""
    counts = np.ones((2, 15), bool)
    counts[1, 5:] = counts[0, 9] = False
    logits = np.random.default_rng(0).standard_normal((2, 15, 8)).astype(np.float32)
    return logits, Windows(some_tokens(tiny_model(), 2, 15), jnp.asarray(counts))


def test_losses_are_those_of_numpy() -> None:
    """Of each token given the logits before it, in nats; the first of a window has none."""
    logits, batch = made_batch()
    losses, counts = fit.token_losses(jnp.asarray(logits), batch)
    assert losses.shape == (2, 14)
    tokens = np.asarray(batch.tokens)
    for row, place in np.ndindex(2, 14):
        probs = np.exp(logits[row, place].astype(np.float64))
        assert losses[row, place] == pytest.approx(-np.log(probs[tokens[row, place + 1]] / probs.sum()), rel=1e-4)
    np.testing.assert_array_equal(counts, np.asarray(batch.counts)[:, 1:])


def test_sums_by_kind_are_those_of_a_loop() -> None:
    logits, batch = made_batch()
    losses, counts = fit.token_losses(jnp.asarray(logits), batch)
    expected, numbers = np.zeros(4), np.zeros(4)
    for row, place in np.ndindex(2, 14):
        kind = KIND[(place + 1) % 5]
        expected[kind] += float(losses[row, place]) * bool(counts[row, place])
        numbers[kind] += bool(counts[row, place])
    found, found_numbers = fit.mean_by_kind(losses, counts, Layout(2, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(found_numbers, numbers)
    assert numbers.tolist() == [6, 4, 4, 3]  # 14 and 4 tokens, less the value that does not count


def test_weights_by_hand() -> None:
    config = tiny_config(obs_weight=0.5, action_weight=5.0, reward_weight=2.0, value_weight=3.0)
    expected = [0.5, 5, 2, 3, 0.5, 0.5, 5, 2, 3, 0.5, 0.5, 5, 2, 3]
    np.testing.assert_array_equal(fit.token_weights(Layout(2, 1), config, 3), expected)
    model = tiny_model(obs_weight=0.5, action_weight=5.0, reward_weight=2.0, value_weight=3.0)
    found = fit.weighted_loss(model, jnp.asarray([4.0, 1.0, 2.0, 3.0]), jnp.asarray([8.0, 4.0, 4.0, 4.0]))
    assert float(found) == pytest.approx((2 + 5 + 4 + 9) / 20)
    assert float(fit.weighted_loss(model, jnp.zeros(4), jnp.zeros(4))) == 0.0


@pytest.mark.parametrize("arch", ["gpt", "lstm"])
def test_the_decay_is_on_kernels_and_heads_only(arch) -> None:
    """An update without a gradient moves those to themselves less rate times decay of them, and nothing else."""
    model = tiny_model(arch=arch, warmup_steps=0, learning_rate=0.1, weight_decay=0.2)
    net, optim = lively(model).net, fit.optimiser(model.config)
    updates, _ = jax.jit(lambda net: optim.update(jax.tree.map(jnp.zeros_like, net), optim.init(net), net))(net)
    decayed = 0
    for (path, update), leaf in zip(jax.tree_util.tree_leaves_with_path(updates), jax.tree.leaves(net), strict=True):
        is_matrix = path[-1].key in {"kernel", "heads"}
        decayed += is_matrix
        np.testing.assert_allclose(update, -0.02 * leaf if is_matrix else 0.0 * leaf, rtol=1e-5)
    assert decayed == {"gpt": 2 * 4 + 1, "lstm": 2 * 8 + 1}[arch]


def rates(gradients, **changes) -> np.ndarray:
    """[T] what each update takes off a bias, given its gradients."""
    optim, bias = fit.optimiser(tiny_config(**changes)), {"bias": jnp.zeros(())}

    def step(state, gradient):
        updates, state = optim.update({"bias": gradient}, state, bias)
        return state, -updates["bias"]

    return np.asarray(jax.lax.scan(step, optim.init(bias), jnp.asarray(gradients))[1])


def test_the_rate_warms_up_and_falls_by_a_cosine() -> None:
    """Adam moves by the rate itself while its gradient is constant. 15 steps are two epochs of 10."""
    shared = {"steps": 15, "epoch_steps": 10, "learning_rate": 0.01, "final_rate": 0.1}
    found = rates(np.full(30, 0.5, np.float32), warmup_steps=4, **shared) / 0.01
    np.testing.assert_allclose(found[[0, 1, 2, 4]], [0.0, 0.25, 0.5, 1.0], atol=1e-3)
    np.testing.assert_allclose(found[8], 0.1 + 0.9 * (1 + np.sqrt(0.5)) / 2, rtol=1e-3)  # an eighth of a turn
    np.testing.assert_allclose(found[[12, 20, 29]], [0.55, 0.1, 0.1], rtol=1e-3)
    at_once = rates(np.full(11, 0.5, np.float32), warmup_steps=0, **shared) / 0.01
    np.testing.assert_allclose(at_once[[0, 10]], [1.0, 0.55], rtol=1e-3)


def test_gradients_are_clipped_before_adam_sees_them() -> None:
    """A gradient of 100 counts as 1; after it, one of 1 makes a full step, which it would not after 100."""
    changes = {"warmup_steps": 0, "learning_rate": 0.01, "final_rate": 1.0}
    np.testing.assert_allclose(rates(np.float32([100.0, 1.0]), clip=1.0, **changes), 0.01, rtol=1e-3)
    first, second = 0.1 * 50 * 0.9 + 0.1, 0.05 * 50**2 * 0.95 + 0.05
    expected = 0.01 * (first / (1 - 0.9**2)) / np.sqrt(second / (1 - 0.95**2))
    np.testing.assert_allclose(rates(np.float32([100.0, 1.0]), clip=50.0, **changes)[1], expected, rtol=1e-3)
