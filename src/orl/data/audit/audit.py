"""Everything there is to find in a dataset before anything is learned from it (`orl data check`)."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.data.audit import actions, continuity, coverage, delays, duplicates, endings, rewards, values
from orl.data.audit.finding import SEVERITIES, Check, Finding
from orl.data.audit.sample import finite_episodes, sample_rows
from orl.data.episodes import Dataset

CHECKS: dict[str, Check] = {
    "non-finite values": values.non_finite,
    "action bounds": actions.action_bounds,
    "following rows": continuity.following_rows,
    "flags": endings.contradictory_flags,
    "jumps": continuity.jumps,
    "constant columns": values.constant_columns,
    "duplicate columns": values.duplicate_columns,
    "missing terminations": endings.missing_terminations,
    "time-outs as terminations": endings.timeouts_as_terminations,
    "history": delays.history,
    "duplicate episodes": duplicates.duplicate_episodes,
    "saturation": actions.saturation,
    "coverage": coverage.coverage,
    "reward": rewards.reward_of_next,
}
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


class Audit(NamedTuple):
    """What was found, gravest first, and the dataset in numbers."""

    findings: list[Finding]
    overview: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}


def audit(dataset: Dataset) -> Audit:
    """Run every check of CHECKS on `dataset`, which need be no sounder than ``check.require_layout`` demands."""
    with np.errstate(all="ignore"):  # infinities are reported, so what is computed from them need not be
        found = [finding for check in CHECKS.values() for finding in check(dataset)]
        found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
        return Audit(found, overview(dataset))


def overview(dataset: Dataset) -> dict[str, Any]:
    """Sizes, quantiles of lengths and returns, ends and actions, as plain JSON values (None where not finite)."""
    sample, seen = sample_rows(dataset), coverage.action_coverage(dataset)
    shares = actions.bound_shares(dataset)
    columns = [
        {
            "low": finite_or_none(dataset.action_low[column]),
            "high": finite_or_none(dataset.action_high[column]),
            "at_low": float(shares[column, 0]),
            "at_high": float(shares[column, 1]),
            "width": finite_or_none(seen.width[column]) if seen else None,
            "r2_from_obs": finite_or_none(seen.from_obs[column]) if seen else None,
            "spread": finite_or_none(seen.spread[column]) if seen else None,
        }
        for column in range(dataset.action.shape[1])
    ]
    return {
        "name": dataset.name,
        "rows": len(dataset),
        "sampled_rows": 0 if sample is None else len(sample.rows),
        "episodes": dataset.n_episodes,
        "finite_episodes": len(finite_episodes(dataset)),
        "obs_dim": dataset.obs.shape[1],
        "action_dim": dataset.action.shape[1],
        "max_episode_steps": dataset.max_episode_steps,
        "terminated": int(dataset.terminated.sum()),
        "truncated": int((dataset.truncated & ~dataset.terminated).sum()),
        "lengths": quantiles(dataset.lengths),
        "returns": quantiles(dataset.returns),
        "actions": columns,
    }


def quantiles(values: NDArray) -> dict[str, float | None]:
    """Least, greatest and the quantiles between, of the finite ones of `values` [N]; None where there are none."""
    finite = values[np.isfinite(values)]
    found = np.quantile(finite, QUANTILES).tolist() if len(finite) else [None] * len(QUANTILES)
    return {f"{100 * share:g}%": value for share, value in zip(QUANTILES, found, strict=True)}


def finite_or_none(value: Any) -> float | None:
    """`value` for JSON, which knows neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None
