"""How often the 95% intervals of whole estimates hold the exact value, on many tabular MDPs with a log each."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular_logs import Mdp, Tables, exact_q, exact_value, random_mdp, sample_log

from orl.evaluation.ope.crossfit import assign_folds, bootstrap_outside, by_those_outside
from orl.evaluation.ope.doubly_robust import doubly_robust, weighted_doubly_robust, weighted_shares
from orl.evaluation.ope.fqe import FqeConfig, fit_q, q_values
from orl.evaluation.ope.importance import (
    cumulative_log_weights,
    effective_episodes,
    per_decision,
    weighted_per_decision,
)
from orl.evaluation.ope.intervals import bootstrap_counts, difference, estimate
from orl.evaluation.ope.types import Estimate, LoggedEpisodes, logged_episodes
from orl.types import Transition

DISCOUNT, S, A = 0.9, 4, 2
BOOTSTRAPS = 1000


class Case(NamedTuple):
    """An MDP, a log of it, who wrote it and who is judged."""

    mdp: Mdp
    episodes: LoggedEpisodes
    tables: Tables
    behaviour: np.ndarray
    target: np.ndarray


def case(seed: int, episodes: int, steps: int) -> Case:
    """A behaviour that prefers one action in each state, a target that prefers its own."""
    mdp, rng = random_mdp(seed), np.random.default_rng((seed, 7))
    behaviour, target = ((1 - g) / A + g * np.eye(A)[rng.integers(0, A, S)] for g in (0.3, 0.45))
    return Case(mdp, *sample_log(mdp, behaviour, episodes, steps, seed + 1000), behaviour, target)


def tabular_q(case: Case, weight: np.ndarray) -> np.ndarray:
    """[S, A] Q of the target by a solve of the log's own frequencies, rows weighted: the fixed point of fitted Q."""
    s, a, t, _ = case.tables
    times, reward, after = np.full((S, A), 1e-9), np.zeros((S, A)), np.zeros((S, A, S))
    np.add.at(times, (s, a), weight)
    np.add.at(reward, (s, a), weight * case.episodes.reward)
    np.add.at(after, (s, a, t), weight * (1 - np.asarray(case.episodes.rows.terminated)))
    onward = (after / times[..., None])[..., None] * case.target[None, None]
    size = S * A
    solved = np.linalg.solve(np.eye(size) - DISCOUNT * onward.reshape(size, size), (reward / times).ravel())
    return solved.reshape(S, A)


def estimates(case: Case, q: np.ndarray, fold: np.ndarray, seed: int) -> dict[str, Estimate]:
    """Every estimator on one log, from members' Q [R * K, S, A]."""
    episodes, (s, a, t, _) = case.episodes, case.tables
    v, of_row = np.einsum("sa,msa->ms", case.target, q), fold[case.episodes.of_row]
    own_q, own_v = by_those_outside(q[:, s, a], of_row), by_those_outside(v[:, s], of_row)
    final, first = by_those_outside(v[:, t[episodes.last]], fold), own_v[:, episodes.starts]
    ratio = np.log(case.target / case.behaviour)[s, a]
    logs = cumulative_log_weights(ratio, episodes)
    reward = episodes.completed_reward(DISCOUNT, final.mean(axis=0))
    counts = bootstrap_counts(len(episodes), BOOTSTRAPS, seed)
    means = [x.mean(axis=0) for x in (own_q, own_v, final)]
    dr = doubly_robust(ratio, own_q, own_v, final, episodes, DISCOUNT)
    wdr = weighted_shares(logs, own_q, own_v, final, episodes, DISCOUNT)
    wdr_draws = weighted_doubly_robust(logs, *means, episodes, DISCOUNT, counts)
    pdis = per_decision(logs, reward, episodes, DISCOUNT)
    wpdis = weighted_per_decision(logs, reward, episodes, DISCOUNT)
    wpdis_draws = weighted_per_decision(logs, reward, episodes, DISCOUNT, counts)
    effective = effective_episodes(logs, DISCOUNT)
    of_behaviour = np.sum(case.behaviour * exact_q(case.mdp, case.behaviour, DISCOUNT), axis=1)
    logged = episodes.returns(DISCOUNT, of_behaviour[t[episodes.last]])

    def drawn(values: np.ndarray) -> np.ndarray:
        return counts @ values.mean(axis=0) / len(episodes)

    return {
        "direct": estimate("direct", first, fold, draws=drawn(first), seed=seed),
        "dr": estimate("dr", dr, fold, draws=drawn(dr), effective=effective, seed=seed),
        "wdr": estimate("wdr", wdr, fold, draws=wdr_draws, effective=effective, seed=seed),
        "pdis": estimate("pdis", pdis, draws=drawn(pdis[None]), effective=effective, seed=seed),
        "wpdis": estimate("wpdis", np.full(len(episodes), wpdis), draws=wpdis_draws, effective=effective, seed=seed),
        "direct gain": difference("gain", first, logged, fold, seed=seed),
        "dr gain": difference("gain", dr, logged, fold, effective=effective, seed=seed),
    }


def truth(case: Case) -> dict[str, float]:
    """The exact value of each estimate."""
    value = exact_value(case.mdp, case.target, DISCOUNT)
    gain = value - exact_value(case.mdp, case.behaviour, DISCOUNT)
    return {name: value for name in ("direct", "dr", "wdr", "pdis", "wpdis")} | {
        "direct gain": gain,
        "dr gain": gain,
    }


def tabular_case(seed: int, episodes: int, steps: int) -> tuple[dict[str, Estimate], dict[str, float]]:
    """One log judged by members that solve their bootstraps exactly."""
    one = case(seed, episodes, steps)
    fold = assign_folds(episodes, 2, seed)
    counts = bootstrap_outside(fold, 4, seed)[:, one.episodes.of_row]
    q = np.stack([tabular_q(one, weight) for weight in counts])
    return estimates(one, q, fold, seed), truth(one)


def covered(found: list[tuple[dict[str, Estimate], dict[str, float]]]) -> dict[str, float]:
    """Share of intervals of each kind that hold the truth."""
    return {
        name: float(np.mean([got[name].low <= exact[name] <= got[name].high for got, exact in found]))
        for name in found[0][0]
    }


def test_intervals_of_every_estimator_cover_the_exact_value() -> None:
    """120 MDPs with 40 episodes each: between 90% and 99%, gains over the behaviour at least 90%."""
    shares = covered([tabular_case(seed, 40, 12) for seed in range(120)])
    assert len(shares) == 7
    assert all(share >= 0.90 for share in shares.values()), shares
    assert all(shares[name] <= 0.99 for name in ("direct", "dr", "wdr", "pdis", "wpdis")), shares


@pytest.mark.slow
@pytest.mark.parametrize(("episodes", "steps"), [(18, 30), (60, 12), (250, 8)])
def test_coverage_over_many_mdps(episodes: int, steps: int) -> None:
    """MDPs with few long episodes or many short ones: every estimator between 90% and 99%.

    Gains may be held more often: that a policy and the behaviour are judged by the same noise is not counted on.
    Importance sampling alone gets two standard errors of 300 logs less: its large weights are rarely drawn.
    """
    shares = covered([tabular_case(seed, episodes, steps) for seed in range(300)])
    assert all(share >= (0.865 if "pdis" in name else 0.90) for name, share in shares.items()), shares
    assert all(shares[name] <= 0.99 for name in ("direct", "dr", "wdr", "pdis", "wpdis")), shares


def pooled(cases: list[Case]) -> LoggedEpisodes:
    """The logs of many cases as one."""
    rows = Transition(*(np.concatenate(x) for x in zip(*(c.episodes.rows for c in cases), strict=True)))
    lengths = np.concatenate([c.episodes.lengths for c in cases])
    return logged_episodes(rows, np.concatenate([[0], np.cumsum(lengths)[:-1]]))


@pytest.mark.slow
@pytest.mark.parametrize("pool", range(4))
def test_fitted_networks_cover_the_exact_value(pool: int) -> None:
    """Fitted Q evaluation itself, of 60 logs in one program, each with eight members that see nothing but its rows."""
    cases = [case(seed, 40, 12) for seed in range(60 * pool, 60 * pool + 60)]
    episodes = pooled(cases)
    fold = assign_folds(40, 2, pool)
    owner = np.repeat(np.arange(60), 40)[episodes.of_row]
    multiplicity = np.zeros((60, 8, len(owner)), np.int64)
    for number, one in enumerate(cases):
        multiplicity[number][:, owner == number] = bootstrap_outside(fold, 4, number)[:, one.episodes.of_row]
    modes = [one.target.argmax(axis=1) for one in cases]
    after = np.concatenate([one.tables.after * A + m[one.tables.after] for one, m in zip(cases, modes, strict=True)])
    config = FqeConfig(hidden=(), updates=3000, learning_rate=0.03, polyak=0.1)
    flat, key = multiplicity.reshape(480, -1), jax.random.key(pool)
    fit = fit_q(config, jnp.eye(S * A)[after], episodes, flat, DISCOUNT, key)
    hits = []
    for number, (one, mode) in enumerate(zip(cases, modes, strict=True)):
        pairs = jnp.eye(S * A)[np.arange(S) * A + mode]
        v = np.asarray(q_values(fit, jnp.eye(S), pairs), np.float64)[8 * number : 8 * number + 8]
        first = by_those_outside(v[:, one.tables.state[one.episodes.starts]], fold)
        found = estimate("direct", first, fold, seed=number)
        hits.append(found.low <= exact_value(one.mdp, np.eye(A)[mode], DISCOUNT) <= found.high)
    assert 0.88 <= np.mean(hits) <= 1.0, np.mean(hits)  # of 60: two standard errors are 0.06
