"""Which tensor is named, and when: worked by hand."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from orl import finite

FINE = finite.mark([("loss", jnp.zeros(()))])


class State(NamedTuple):
    """Shaped as the state of an agent."""

    policy: object
    critic: object
    critic_opt: object
    updates: object


def history(*bad: tuple[int, ...], names: tuple[str, ...] = ("critic_loss", "actor_loss")) -> finite.Marks:
    """The marks of some updates; each line says which of the names were bad in it."""
    return finite.Marks(jnp.array([[index in line for index in range(len(names))] for line in bad]), names)


@pytest.mark.parametrize(("value", "bad"), [(jnp.nan, True), (jnp.inf, True), (-jnp.inf, True), (3e38, False)])
def test_a_mark_is_nan_or_infinite_anywhere(value: float, bad: bool) -> None:
    marks = finite.mark([("a", jnp.zeros(3)), ("b", jnp.array([[0.0, value], [1.0, 2.0]])), ("c", jnp.ones(()))])
    assert marks.names == ("a", "b", "c")
    np.testing.assert_array_equal(marks.bad, [False, bad, False])


def test_members_are_marked_one_by_one() -> None:
    kernel = jnp.zeros((3, 2, 2)).at[1, 0, 1].set(jnp.nan)
    marks = finite.mark_members([("nll", jnp.array([0.0, 0.0, jnp.inf])), ("kernel", kernel)])
    told = [name for name, bad in zip(marks.names, marks.bad, strict=True) if bad]
    assert told == ["nll of member 2", "kernel of member 1"]


def test_the_earliest_update_counts_and_within_it_the_first_name() -> None:
    during = history((), (), (1,), (0, 1))
    assert finite.tell(finite.onset(FINE, (during,), FINE)) == (0, 2, "actor_loss")
    during = history((), (), (0, 1), (1,))
    assert finite.tell(finite.onset(FINE, (during,), FINE)) == (0, 2, "critic_loss")


def test_what_was_there_before_comes_first_and_what_is_left_last() -> None:
    lost = finite.mark([("critic/kernel", jnp.array([jnp.nan]))])
    during = history((0,), (0,))
    assert finite.tell(finite.onset(lost, (during,), lost)) == (0, -1, "critic/kernel")
    assert finite.tell(finite.onset(FINE, (history((), ()),), lost)) == (0, 1, "critic/kernel")
    assert finite.tell(finite.onset(FINE, (during,), lost)) == (0, 0, "critic_loss")


def test_a_rollout_belongs_to_the_first_update() -> None:
    rolled = finite.at_once(finite.mark([("rollout_reward", jnp.asarray(jnp.inf))]))
    assert finite.tell(finite.onset(FINE, (rolled, history((0,), (0,))), FINE)) == (0, 0, "rollout_reward")
    assert finite.tell(finite.onset(FINE, (finite.at_once(FINE), history((), (0,))), FINE)) == (0, 1, "critic_loss")


def test_nothing_is_told_where_all_is_finite_or_nothing_was_done() -> None:
    assert finite.tell(finite.onset(FINE, (history((), ()),), FINE)) is None
    none = finite.Marks(jnp.zeros((0, 2), bool), ("critic_loss", "actor_loss"))
    assert finite.tell(finite.onset(FINE, (none,), FINE)) is None


def test_the_row_with_the_earliest_onset_is_told() -> None:
    def of(bad: jax.Array) -> finite.Onset:
        return finite.onset(FINE, (finite.Marks(bad, ("critic_loss", "actor_loss")),), FINE)

    bad = jnp.array([[[0, 0], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 1]], [[0, 0], [0, 1], [1, 1]]], bool)
    found = jax.jit(jax.vmap(of))(bad)
    np.testing.assert_array_equal(found.update, [finite.NEVER, 2, 1])
    assert finite.tell(found) == (2, 1, "actor_loss")


def test_tensors_have_the_names_of_their_place() -> None:
    """Levels that say nothing are left out; the gradients are Adam's means, those of large arrays left to the end."""
    net = {"params": {"MLP_0": {"Dense_0": {"bias": jnp.zeros(3), "kernel": jnp.zeros((2, 3))}}}}
    wide = {"params": {"VmapMLP_0": {"Dense_0": {"bias": jnp.zeros(64), "kernel": jnp.zeros((65, 64))}}}}
    state = State({"actor": net}, wide, optax.adam(0.1).init(wide), jnp.asarray(0))
    assert [name for name, _ in finite.gradients(state)] == ["gradient of critic/Dense_0/bias"]
    assert [name for name, _ in finite.arrays(state)] == [
        "actor/Dense_0/bias",
        "actor/Dense_0/kernel",
        "critic/Dense_0/bias",
        "critic/Dense_0/kernel",
        "gradient of critic/Dense_0/bias",
        "gradient of critic/Dense_0/kernel",
        "mean squared gradient of critic/Dense_0/bias",
        "mean squared gradient of critic/Dense_0/kernel",
    ]
    assert [name for name, _ in finite.short(wide, "gradient of ")] == ["gradient of Dense_0/bias"]
