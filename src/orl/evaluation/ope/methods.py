"""What the estimators are called in documents, settings and tables."""

from __future__ import annotations

FQE, DOUBLY_ROBUST, WEIGHTED_DOUBLY_ROBUST = "fqe", "doubly_robust", "weighted_doubly_robust"
WEIGHTED, PER_DECISION = "weighted_importance", "per_decision_importance"
MODEL, PENALISED = "model", "penalised_model"

LABELS = {
    FQE: "fitted Q",
    DOUBLY_ROBUST: "doubly robust",
    WEIGHTED_DOUBLY_ROBUST: "weighted doubly robust",
    WEIGHTED: "weighted importance",
    PER_DECISION: "importance per decision",
    MODEL: "model",
    PENALISED: "model, penalised",
}
