"""The memory plan: its lines are the sizes of the arrays that a run really makes, and a run that cannot fit says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orl import host_memory
from orl.data.catalog import load
from orl.data.normalise import identity_normaliser
from orl.errors import UsageError
from orl.runs import machine, memory_plan
from orl.runs.config import resolve_fit, resolve_policy, resolve_sequence
from orl.runs.fit_model import fit_model, load_model
from orl.runs.fit_sequence import fit_sequence
from orl.runs.loading import load_split
from orl.runs.memory_needs import COMPILER, TEMPORARIES, ensemble_plan, policy_plan, sequence_plan
from orl.runs.memory_plan import Line, MemoryPlan, tree_bytes, working_bytes
from orl.runs.program import initial_states, program_of, train_data
from orl.runs.train_policy import train_policy

ROLLOUT = {"rollout_batch": 16, "rollout_length": 2, "retain_epochs": 3, "hidden": [8], "batch_size": 16}
MODEL = {"hidden": [8], "weight_decay": [0.0, 0.0], "members": 3, "elites": 2}


def totals(plan: MemoryPlan) -> dict[str, int]:
    return {line.name: plan.total(line) for line in plan.lines}


@pytest.mark.parametrize(("algorithm", "seeds"), [("mopo", (0, 1)), ("bc", (0,))])
def test_the_lines_are_the_sizes_of_the_arrays_a_run_makes(
    pendulum_log: str, fitted: dict[str, Any], algorithm: str, seeds: tuple[int, ...]
) -> None:
    agent = ROLLOUT if algorithm == "mopo" else {"hidden": [8]}
    settings = {"seeds": list(seeds), "model": MODEL, "agent": agent}
    config, _ = resolve_policy(pendulum_log, algorithm, settings)
    dataset = load(pendulum_log)
    program = program_of(config, dataset)
    lines = totals(policy_plan(dataset, config, program))
    loaded = load_split(dataset, config.model.holdout_fraction, config.model.holdout_max_rows)
    states = initial_states(config, program, identity_normaliser(3), dataset.spec)
    model = load_model(fitted["run"]).params if algorithm == "mopo" else None
    data = train_data(config, program.algorithm, model, loaded)
    state = states.agent
    assert lines["dataset on the device"] == tree_bytes((data.logged, loaded.holdout))
    assert lines["dataset on the host"] == 1600 * (3 + 1 + 1 + 3) * 4 + 1600 * 2
    assert lines.get("world model", 0) == tree_bytes(data.world)
    assert lines.get("rollout buffer", 0) == tree_bytes(states.ring)
    assert lines["best policy so far"] == tree_bytes(state.policy)
    assert lines["networks"] + lines["optimiser state"] == tree_bytes(state)
    assert lines["optimiser state"] >= 2 * tree_bytes(state.policy.actor)  # Adam keeps two moments
    if algorithm == "mopo":  # 16 branches x 2 steps x 3 epochs, of 9 numbers, and the head and size of each seed
        assert lines["rollout buffer"] == len(seeds) * (16 * 2 * 3 * 9 * 4 + 8)


def test_seeds_multiply_what_is_theirs_and_nothing_else(pendulum_log: str) -> None:
    dataset = load(pendulum_log)
    plans = {}
    for seeds in ([0], [0, 1, 2]):
        config, _ = resolve_policy(pendulum_log, "mopo", {"seeds": seeds, "model": MODEL, "agent": ROLLOUT})
        plans[len(seeds)] = policy_plan(dataset, config)
    one, three = totals(plans[1]), totals(plans[3])
    per_seed = {line.name for line in plans[3].lines if line.per_seed}
    assert per_seed == {"rollout buffer", "networks", "optimiser state", "best policy so far"}
    assert {name: three[name] for name in per_seed} == {name: 3 * one[name] for name in per_seed}
    for name in ("dataset on the host", "dataset on the device", "world model"):
        assert three[name] == one[name]
    assert three[TEMPORARIES] > 1.5 * one[TEMPORARIES]


def test_seeds_one_after_the_other_share_their_temporaries_and_have_copies_of_their_states(pendulum_log: str) -> None:
    settings = {"seeds": [0, 1], "model": MODEL, "agent": ROLLOUT}
    dataset = load(pendulum_log)
    together, apart = (
        totals(policy_plan(dataset, resolve_policy(pendulum_log, "mopo", settings | {"seed_axis": axis})[0]))
        for axis in ("vmap", "map")
    )
    assert apart[TEMPORARIES] < together[TEMPORARIES]
    states = sum(apart[name] for name in ("rollout buffer", "networks", "optimiser state"))
    assert apart["states of the seeds, taken apart and put together"] == 2 * states


def test_fits_are_counted_from_their_own_states(pendulum_log: str) -> None:
    dataset = load(pendulum_log)
    lines = totals(ensemble_plan(dataset, resolve_fit(pendulum_log, {"model": MODEL})[0]))
    weights = 3 * ((4 * 8 + 8) + (8 * 8 + 8)) * 4  # 3 members, 4 inputs -> 8 -> 2 x 4 outputs, float32
    assert lines["best members so far"] == weights
    assert lines["rows in the networks' units"] == 1600 * (4 + 4 + 3 + 1) * 4
    small = {"layers": 1, "heads": 2, "width": 8, "bins": 8, "window": 3}
    sequence = totals(sequence_plan(dataset, resolve_sequence(pendulum_log, {"model": small})[0]))
    assert sequence["tokens"] == 1600 * (6 + 4 + 1 + 4)  # 6 tokens of a byte, last, value_known, starts
    assert sequence["network"] == sequence["best network so far"] <= sequence["optimiser state"] / 2


def test_working_bytes_by_hand() -> None:
    """A product holds its factor and its result at once; what a scan collects is there while it runs."""
    x = jax.ShapeDtypeStruct((100, 10), jnp.float32)
    w = jax.ShapeDtypeStruct((10, 50), jnp.float32)
    v = jax.ShapeDtypeStruct((50, 20), jnp.float32)
    assert working_bytes(lambda x, w, v: (x @ w) @ v, x, w, v) == 4 * (100 * 50 + 100 * 20)

    def steps(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda carry, _: (carry * 2.0, carry), x, None, length=7)[1]

    assert working_bytes(steps, x) == 4 * 100 * 10 * (7 + 1)


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "host_memory", lambda: 2_000_000_000)
    monkeypatch.setattr(machine, "held_memory", lambda: 0)


@pytest.mark.skipif("__import__('jax').default_backend() != 'cpu'", reason="there the device's memory counts")
def test_a_run_that_cannot_fit_is_refused_before_anything_is_written(
    small_machine: None, pendulum_log: str, tmp_path: Path
) -> None:
    dataset = load(pendulum_log)
    large = ROLLOUT | {"rollout_batch": 1_000_000, "rollout_length": 10}
    config, _ = resolve_policy(pendulum_log, "mopo", {"seeds": [0, 1], "model": MODEL, "agent": large})
    with pytest.raises(UsageError) as refused:
        train_policy(dataset, config, tmp_path / "run", root=tmp_path)
    buffer = 2 * 1_000_000 * 10 * 3 * 9 * 4
    text = str(refused.value)
    needed = float(re.match(r"training mopo needs about ([\d.]+) GB, ", text).group(1))  # type: ignore[union-attr]
    assert needed > (buffer + COMPILER) / 1e9
    assert (
        f"{host_memory.size(buffer)} of it for rollout buffer; this machine has 2 GB; lower agent.rollout_batch" in text
    )
    assert text.endswith("the number of seeds")
    assert "\n" not in text
    deep = MODEL | {"hidden": [20_000, 20_000], "weight_decay": [0.0, 0.0, 0.0]}
    fit, _ = resolve_fit(pendulum_log, {"model": deep})
    with pytest.raises(UsageError, match=r"^fitting the ensemble needs .* lower model\.hidden, model\.members"):
        fit_model(dataset, fit, tmp_path / "fit")
    wide, _ = resolve_sequence(pendulum_log, {"model": {"width": 8192, "layers": 4}})
    with pytest.raises(UsageError, match=r"^fitting the gpt needs .* lower model\.width, model\.layers"):
        fit_sequence(dataset, wide, tmp_path / "sequence")
    assert list(tmp_path.iterdir()) == []


def test_what_the_device_has_and_what_the_host_has_are_two_accounts_on_an_accelerator(
    small_machine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = type("Device", (), {"platform": "gpu", "device_kind": "Card", "memory_stats": lambda self: stats})()
    stats = {"bytes_limit": 500}
    monkeypatch.setattr(memory_plan.jax, "devices", lambda: [device])
    plan = MemoryPlan("work", (Line("a", 100, per_seed=True), Line("b", 7, place="host")), seeds=6)
    card, host = plan.accounts()
    assert (card.name, card.needed, card.available, card.fits) == ("Card", 600, 500, False)
    assert (host.name, host.needed, host.available, host.fits) == ("this machine", 7, 2_000_000_000, True)
    with pytest.raises(UsageError, match="600 B of it for a; Card has 500 B; lower the number of seeds"):
        plan.refuse_if_too_large()
    stats.clear()  # a device that does not tell is never too small
    plan.refuse_if_too_large()
    assert plan.document()["memory"][0] == {"name": "Card", "needed": 600, "available": None, "fits": True}


def test_a_control_group_limits_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the groups from the process's own upwards the tightest counts; files in the cache give way."""
    monkeypatch.setattr(host_memory, "_free_of_machine", lambda: 10_000)
    monkeypatch.setattr(host_memory, "held_memory", lambda: 50)
    monkeypatch.setattr(host_memory, "_free_of_group", lambda: None)
    assert host_memory.host_memory() == 10_050
    monkeypatch.undo()
    own = tmp_path / "outer" / "own"
    own.mkdir(parents=True)
    files = ("memory.max", "memory.current")
    monkeypatch.setattr(
        host_memory, "_group_folders", lambda: [(own, *files), (own.parent, *files), (tmp_path, *files)]
    )
    assert host_memory._free_of_group() is None
    for folder, limit, used in ((own, "max", "100"), (own.parent, "1000", "900")):
        (folder / "memory.max").write_text(limit + "\n")
        (folder / "memory.current").write_text(used + "\n")
    assert host_memory._free_of_group() == 100
    (own.parent / "memory.stat").write_text("anon 5\ninactive_file 300\n")
    assert host_memory._free_of_group() == 400
    (own / "memory.max").write_text("120\n")
    assert host_memory._free_of_group() == 20


def test_this_machine_has_memory() -> None:
    held = host_memory.held_memory()
    assert 10_000_000 < held < (host_memory.host_memory() or 0)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (1.234e9, "1.23 GB")]
)
def test_sizes_are_short(number: float, text: str) -> None:
    assert host_memory.size(number) == text


def test_the_plan_makes_no_array(pendulum_log: str) -> None:
    """A buffer of 54 GB is counted in a moment; one of more rows than an index can tell apart is refused."""
    agent = ROLLOUT | {"rollout_batch": 10**8, "rollout_length": 5}
    config, _ = resolve_policy(pendulum_log, "mopo", {"model": MODEL, "agent": agent})
    assert totals(policy_plan(load(pendulum_log), config))["rollout buffer"] == 5 * 10**8 * 3 * 9 * 4 + 8
    config, _ = resolve_policy(pendulum_log, "mopo", {"model": MODEL, "agent": agent | {"rollout_length": 8}})
    with pytest.raises(UsageError, match=r"2,400,000,000 rows, at most 2,147,483,647 .* agent\.rollout_length"):
        policy_plan(load(pendulum_log), config)


def test_the_fingerprint_is_that_of_the_bytes(pendulum_log: str) -> None:
    """Also of arrays that do not lie in one piece."""
    import dataclasses

    dataset = load(pendulum_log)
    spread = np.asfortranarray(dataset.obs)
    assert dataclasses.replace(dataset, obs=spread).fingerprint == dataset.fingerprint
