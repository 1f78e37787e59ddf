"""What MOPO's theorems promise a policy, in units of its discounted return.

With the model's discounted occupancy rho (which sums to 1 / (1 - discount)), the values eta of the truth and eta_hat of
the model, and eps_u(pi) = sum rho_hat^pi u:

* lower bound: eta(pi) >= eta_hat(pi) - lambda eps_u(pi);
* performance: the policy that is best in the penalised model has eta >= max over pi of eta(pi) - 2 lambda eps_u(pi), so
  that it loses at most 2 lambda eps_u(behaviour) against the behaviour.

Both hold where u is admissible (u >= the model's error, by a factor in lambda) on what the policy visits. Reference:
MOPO, arXiv:2005.13239, its lemma of the penalised MDP and its main theorem; `tests/theory` has exact solutions.
"""

from __future__ import annotations

from typing import NamedTuple


class Guarantee(NamedTuple):
    """The theorems' terms at one lambda, in return units.

    Attributes:
        coef: lambda. holds: whether it is at least the `needed` one; None where nobody knows.
        policy_penalty: lambda eps_u(policy), what the lower bound takes off the model's value.
        worst_loss: 2 lambda eps_u(behaviour), what the best penalised policy may lose against the behaviour.
        guaranteed_gain: the lower bound on the policy's value, less the behaviour's value.
        covered: the part of the promised gain that is guaranteed, 0 to 1; None where no gain is promised.
    """

    coef: float
    holds: bool | None
    policy_penalty: float
    worst_loss: float
    guaranteed_gain: float
    covered: float | None


def guarantee(
    coef: float, needed: float | None, promised_gain: float, policy_uncertainty: float, behaviour_uncertainty: float
) -> Guarantee:
    """The terms of one lambda.

    Args:
        needed: the lambda at which lambda u covers the model's errors; with less nothing of the gain is covered.
        promised_gain: over the behaviour, by the bare model. The others: eps_u of the two.
    """
    penalty = coef * policy_uncertainty
    guaranteed = promised_gain - penalty
    holds = None if needed is None else coef >= needed
    covered = None
    if promised_gain > 0:
        covered = 0.0 if holds is False else min(max(guaranteed / promised_gain, 0.0), 1.0)
    return Guarantee(coef, holds, penalty, 2.0 * coef * behaviour_uncertainty, guaranteed, covered)
