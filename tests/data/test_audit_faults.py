"""`orl data check` finds each planted fault, and nothing but notes in sound logs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from clean_systems import CLEAN, STEPS, double_integrator, falling_pole, pendulum, select

from orl.data.audit.audit import audit
from orl.data.audit.delays import advised_history, history
from orl.data.audit.finding import Finding
from orl.data.episodes import Dataset
from orl.data.split import HOLDOUT_FRACTION, SPLIT_SEED, split_by_episode


def serious(dataset: Dataset) -> list[Finding]:
    """The errors and warnings."""
    return [finding for finding in audit(dataset).findings if finding.severity != "note"]


def changed(dataset: Dataset, **content: Any) -> Dataset:
    return dataclasses.replace(dataset, **content)


def with_values(dataset: Dataset, name: str, index: Any, value: Any) -> Dataset:
    """`dataset` with some values of one array replaced."""
    array = getattr(dataset, name).copy()
    array[index] = value
    return changed(dataset, **{name: array})


def the_one(dataset: Dataset, check: str, severity: str, where: str) -> Finding:
    """The only serious finding of `dataset`, which has to be this one."""
    found = serious(dataset)
    assert [(finding.check, finding.severity, finding.where) for finding in found] == [(check, severity, where)], found
    return found[0]


@pytest.mark.parametrize(
    ("system", "seed"),
    [
        # one seed of the systems that are quick to record
        pytest.param(system, seed, marks=[pytest.mark.slow] if seed or system == "falling pole" else [])
        for system in CLEAN
        for seed in range(4)
    ],
)
def test_nothing_is_found_in_sound_logs(system: str, seed: int) -> None:
    assert serious(CLEAN[system](seed)) == []


def test_1_values_that_are_not_finite() -> None:
    data = with_values(double_integrator(), "reward", slice(7, 9), [np.nan, np.inf])
    finding = the_one(data, "non-finite", "error", "reward")
    assert (finding.value, finding.message) == (2, "2 values are NaN or infinite, the first at row 7 (episodes 0)")


def test_2_a_constant_column() -> None:
    data = with_values(falling_pole(), "obs", (slice(None), 2), 0.3)
    finding = the_one(with_values(data, "next_obs", (slice(None), 2), 0.3), "constant", "warning", "obs column 2")
    assert finding.message == "is 0.3 throughout"


def test_3_a_duplicated_column() -> None:
    data = select(double_integrator(), [0, 1, 0])
    assert the_one(data, "duplicate columns", "warning", "obs columns 0 and 2").where == "obs columns 0 and 2"


@pytest.mark.parametrize(("shift", "words"), [(0, "+0 rows away"), (2, "+2 rows away")])
def test_4_next_observations_off_by_a_row(shift: int, words: str) -> None:
    data = double_integrator()
    rows = np.arange(len(data))
    last = rows // STEPS * STEPS + STEPS - 1
    shifted = np.where((rows + shift <= last)[:, None], data.obs[np.minimum(rows + shift, last)], data.next_obs)
    found = serious(changed(data, next_obs=shifted))
    assert (found[0].check, found[0].severity, found[0].where) == ("following rows", "error", "row 0")
    assert words in found[0].message
    assert found[0].advice == f"shift next_obs by {1 - shift:+d} rows within each episode"


def test_4b_rows_lost_inside_an_episode() -> None:
    data = double_integrator()
    keep = np.delete(np.arange(len(data)), slice(20, 25))
    names = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
    starts = np.where(data.starts > 20, data.starts - 5, data.starts)
    lost = changed(data, **{name: getattr(data, name)[keep] for name in names}, starts=starts)
    found = [finding for finding in serious(lost) if finding.check == "following rows"]
    assert [(finding.where, finding.message.split(";")[0]) for finding in found] == [
        ("row 19", "the next observation is not that of the following row at 1 rows (<0.1% of those inside episodes)")
    ]


@pytest.mark.parametrize("system", [double_integrator, pendulum])
def test_5_two_episodes_glued_together(system: Any) -> None:
    """One end has lost its flag, and the next observation there is the following episode's first one."""
    data = system()
    end = data.starts[7] - 1
    data = with_values(data, "next_obs", end, data.obs[end + 1])
    glued = changed(
        with_values(data, "truncated", end, False), starts=np.delete(data.starts, 7), max_episode_steps=None
    )
    finding = the_one(glued, "jumps", "warning", f"row {end}")
    assert finding.message.startswith("1 steps inside episodes change far more than observation and action explain")
    assert "(episodes 6; obs columns 0" in finding.message


def test_5b_next_observations_of_the_following_episode() -> None:
    data = double_integrator()
    ends = data.starts[1:] - 1
    leaking = with_values(data, "next_obs", ends, data.obs[data.starts[1:]])
    (finding,) = serious(leaking)
    assert (finding.check, finding.severity) == ("jumps", "error")
    assert "is the first one of the following episode" in finding.message


def test_6_missing_terminations() -> None:
    data = falling_pole()
    unmarked = changed(data, terminated=np.zeros(len(data), bool), truncated=data.terminated | data.truncated)
    finding = the_one(unmarked, "terminations", "warning", "terminated")
    assert finding.value == data.terminated.sum() / data.n_episodes
    assert "yet none is marked as a true end" in finding.message


def test_6b_timeouts_marked_as_terminations() -> None:
    data = double_integrator()
    swapped = changed(data, terminated=data.truncated, truncated=data.terminated, max_episode_steps=None)
    finding = the_one(swapped, "terminations", "warning", "terminated")
    assert finding.message == "30 of 30 episodes are marked as true ends at exactly 60 steps"


def test_7_contradictory_flags() -> None:
    data = falling_pole()
    both = changed(data, truncated=data.truncated | data.terminated)
    finding = the_one(both, "flags", "warning", "ends")
    assert finding.value == data.terminated.sum() / data.n_episodes
    inside = with_values(data, "truncated", data.starts[4] + 3, True)
    assert the_one(inside, "flags", "error", f"row {data.starts[4] + 3}").message == (
        "1 end flags stand inside episodes (4)"
    )


def test_8_a_reward_of_the_next_observation() -> None:
    """A note: models predict both together. The drift's noise is what observation and action cannot know."""
    data = falling_pole()
    noisy = changed(data, reward=-np.abs(data.next_obs[:, 2]) - data.obs[:, 0] ** 2)
    assert serious(noisy) == []
    (finding,) = [finding for finding in audit(noisy).findings if finding.check == "reward"]
    assert finding.severity == "note"
    assert "the reward depends on where the step led" in finding.message
    assert not [finding for finding in audit(data).findings if finding.check == "reward"]


def test_9_saturated_actions() -> None:
    data = double_integrator()
    clipped = np.clip(6 * data.action, -1, 1)
    finding = the_one(changed(data, action=clipped), "saturation", "warning", "action column 0")
    assert finding.value == pytest.approx((np.abs(clipped) >= 0.998).mean())


def test_10_actions_out_of_bounds() -> None:
    finding = the_one(with_values(falling_pole(), "action", (11, 1), 1.5), "bounds", "error", "action column 1")
    assert finding.value == pytest.approx(0.25)
    assert "the farthest 1.5 at row 11" in finding.message


def test_11_an_episode_on_both_sides_of_the_split() -> None:
    data = double_integrator()
    held = int(split_by_episode(data, HOLDOUT_FRACTION, SPLIT_SEED).holdout_episodes[0])
    other = 0 if held else 1
    noise = np.random.default_rng(0).normal(0, 1e-5, (STEPS, 2))
    copy, original = (slice(data.starts[e], data.starts[e] + STEPS) for e in sorted((held, other))[::-1])
    for name in ("obs", "next_obs"):
        data = with_values(data, name, copy, getattr(data, name)[original] + noise)
    data = with_values(with_values(data, "action", copy, data.action[original]), "reward", copy, data.reward[original])
    data = with_values(data, "next_obs", slice(copy.start, copy.stop - 1), data.obs[copy.start + 1 : copy.stop])
    finding = the_one(data, "duplicate episodes", "warning", "across the split")
    assert finding.message == f"1 episodes repeat another one ({max(held, other)} of {min(held, other)})"


@pytest.mark.parametrize("delay", [1, 2, 4])
def test_12_delayed_actions(delay: int) -> None:
    """The speed, and no other column, with the lag and the setting that helps."""
    finding = the_one(double_integrator(delay=delay), "delayed actions", "warning", "obs column 1")
    assert finding.value == delay
    assert f"`--history {delay}`" in finding.advice


@pytest.mark.parametrize("seed", range(3))
def test_13_missing_speeds(seed: int) -> None:
    found = serious(select(pendulum(seed), [0, 1])) + serious(select(double_integrator(seed), [0]))
    assert [(finding.check, finding.severity, finding.where) for finding in found] == [
        ("missing memory", "warning", f"obs column {column}") for column in (0, 1, 0)
    ]
    assert "`--history 1`" in found[0].advice


def test_the_advised_history_helps_against_everything_found() -> None:
    delayed, forgetful = history(double_integrator(delay=4)), history(select(pendulum(0), [0, 1]))
    assert {finding.check for finding in delayed} == {"delayed actions"}
    assert {finding.check for finding in forgetful} == {"missing memory"}
    assert [advised_history(found) for found in (delayed, forgetful, delayed + forgetful, [])] == [4, 1, 4, 0]


def test_a_single_column_that_jumps_may_be_an_angle() -> None:
    data = double_integrator()
    later = (np.arange(len(data)) > 400) & (data.episode_of_row == 6)
    data = with_values(data, "next_obs", (slice(400, 420), 0), data.next_obs[400:420, 0] - 6)
    finding = the_one(with_values(data, "obs", (later, 0), data.obs[later, 0] - 6), "jumps", "warning", "row 400")
    assert "(episodes 6; obs columns 0)" in finding.message
    assert "give its sine and cosine" in finding.advice


def test_one_log_cut_in_pieces_is_noted() -> None:
    data = double_integrator(episodes=6)
    pieces = changed(data, starts=np.arange(0, len(data), 15), max_episode_steps=15)
    ends = np.arange(14, len(data), 15)
    flagged = changed(pieces, truncated=np.isin(np.arange(len(data)), ends))
    (finding,) = [finding for finding in audit(flagged).findings if finding.check == "jumps"]
    assert (finding.severity, finding.where) == ("note", "episode ends")
    assert finding.message.startswith("18 of 24 episodes lead into the next without a break")
