"""Seeds run together: the same numbers as alone, by the program of the first epoch."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from tiny_problem import Trainer

from orl.runs.seeds import POLICY_STREAM, epoch_keys, model_keys, seed_keys

SEEDS = (0, 1, 4)
EPOCHS, UPDATES = 4, 25  # of updates an epoch


@pytest.fixture(scope="module")
def runs():
    """COMBO, the algorithm with the most parts: three seeds one by one, mapped and vmapped."""
    programs = (1, "vmap"), (3, "map"), (3, "vmap")
    single, mapped, batched = (Trainer("combo", seeds, axis, UPDATES) for seeds, axis in programs)
    alone = [single.train((seed,), EPOCHS) for seed in SEEDS]
    return SimpleNamespace(
        alone=[jax.tree.map(lambda *leaves: np.concatenate(leaves), *epoch) for epoch in zip(*alone, strict=True)],
        mapped=mapped.train(SEEDS, EPOCHS),
        batched=batched.train(SEEDS, EPOCHS),
        traces=[trainer.traces for trainer in (single, mapped, batched)],
    )


def leaves_of(a, b):
    return zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)


def test_map_gives_the_bits_of_single_runs(runs):
    for mapped, alone in zip(runs.mapped, runs.alone, strict=True):
        for a, b in leaves_of(mapped, alone):
            np.testing.assert_array_equal(a, b)


def test_vmap_agrees_with_single_runs_up_to_rounding(runs):
    """After 100 updates; streams of one seed used for another would differ in the first digit."""
    for a, b in leaves_of(runs.batched[-1], runs.alone[-1]):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)


def test_seeds_differ_from_each_other(runs):
    actor = jax.tree.leaves(runs.alone[-1][0].agent.policy.actor)
    assert all(np.abs(leaf[0] - leaf[1]).max() > 1e-3 for leaf in actor)


def test_all_epochs_run_the_program_of_the_first(runs):
    """A weak type, a changed shape or an array closed over would trace, and compile, again in a later epoch."""
    assert runs.traces == [1, 1, 1]


def test_buffer_keeps_the_rollouts_of_the_last_epochs(runs):
    """Six branches of two steps, two epochs kept: 12 rows after one epoch, 24 from the second on."""
    assert [state.ring.size.tolist() for state, _ in runs.alone] == [[12] * 3, [24] * 3, [24] * 3, [24] * 3]
    first, second, third, _ = (state.ring.rows.obs[0] for state, _ in runs.alone)
    np.testing.assert_array_equal(second[:12], first[:12])
    np.testing.assert_array_equal(third[12:], second[12:])
    assert not np.array_equal(third[:12], second[:12])


def test_streams_do_not_depend_on_the_seeds_beside_them():
    for seeds in (SEEDS, (4, 9), (4,)):
        where = seeds.index(4)
        for number in (0, 1, 7):
            got = epoch_keys(seed_keys(seeds), number)[where]
            want = jax.random.fold_in(jax.random.fold_in(jax.random.key(POLICY_STREAM), 4), number)
            np.testing.assert_array_equal(jax.random.key_data(got), jax.random.key_data(want))


def test_streams_of_seeds_and_epochs_are_all_different():
    keys = [jax.random.key_data(epoch_keys(seed_keys(SEEDS), number)) for number in range(5)]
    assert len({tuple(row) for row in np.concatenate(keys)}) == 5 * len(SEEDS)


def test_no_model_and_no_policy_share_a_key():
    """Keys of initialisation and epochs, of models and policies, and what is folded from them: all distinct."""
    roots = [key for seed in range(4) for key in model_keys(seed)] + list(seed_keys((0, 1, 2, 3)))
    keys = roots + [jax.random.fold_in(root, n) for root in roots for n in range(4)]
    data = {tuple(jax.random.key_data(key).tolist()) for key in keys}
    assert len(data) == len(keys)
