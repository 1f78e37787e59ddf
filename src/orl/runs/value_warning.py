"""The warning before a divergence: critics that value more, or less, than the data's rewards allow."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from orl.algorithms.value_range import value_range
from orl.runs.config import PolicyRunConfig
from orl.runs.directory import RunDirectory
from orl.runs.divergence import setting_to_lower

BEYOND = 2.0  # times the range: networks overshoot a little while they learn, and those that explode pass any number


def beyond_rewards(
    run: RunDirectory, config: PolicyRunConfig, largest_reward: float, step: int, seed: int, row: Mapping[str, float]
) -> dict[str, float]:
    """What a row of metrics says of values beyond `BEYOND` times the range that rewards allow; nothing within.

    The first time in a run is told as a warning, and recorded in run.json.

    Args:
        row: the metrics of one seed's epoch; "q" is the critics' mean value over its batches.
    """
    allowed = value_range(config.agent, run.record["dataset"]["action_dim"], largest_reward, row)
    if allowed is None or (share := allowed.share(row["q"])) <= BEYOND:
        return {}
    if "value_warning" not in run.record:
        limit = allowed.high if row["q"] > 0 else allowed.low
        run.update(value_warning={"step": step, "seed": seed, "q": row["q"], "allowed": limit})
        warnings.warn(
            f"by step {step} the critics of seed {seed} value their rows at {row['q']:.3g}, {share:.3g} times the"
            f" {limit:.3g} that rewards of at most {largest_reward:.3g} allow (agent.discount is"
            f" {config.agent.discount:g}; told from {BEYOND:g} times on); lower {setting_to_lower('q', config)}",
            stacklevel=2,
        )
    return {"q_over_allowed": share}
