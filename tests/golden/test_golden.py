"""Golden values: what the hot paths computed when they were recorded, they compute still.

Protected are the ensemble (loss, gradient, an epoch of its fit, predictions, uncertainties, model steps), an epoch of
every algorithm, the critic's losses and gradients; in test_golden_sequences.py, the transformer and the LSTM (losses
and gradients with and without dropout, an epoch), and plans of the beam, MPPI and CEM. It is the code that is rewritten
for speed, where a rewrite may change rounding and nothing else. The other tests say what is right; these say what is
unchanged. A failure means that a result changed: correct the code, or, if that was the aim, record the values anew
(`record.py`).

Inputs and weights are NumPy's (`made_inputs.py`), so no initialiser matters. Random draws do: which rows, which noise,
which dropout a key gives is part of a result that must repeat.
"""

from __future__ import annotations

import algorithm_cases
import ensemble_cases
import pytest
from cases import CASES, recorded
from digest import differences, digest


def test_every_case_is_recorded() -> None:
    """A case without values would protect nothing."""
    assert recorded().keys() == CASES.keys()


@pytest.mark.parametrize("case", [*ensemble_cases.CASES, *algorithm_cases.CASES])
def test_result_is_unchanged(case: str, quick_compiles: None) -> None:
    """Up to rounding."""
    changed = differences(recorded()[case], digest(CASES[case]()))
    assert not changed, "\n".join(changed)
