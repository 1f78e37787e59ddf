"""orl: model-based offline reinforcement learning in pure-functional JAX. From a log to a better policy.

Every command of the `orl` program has its function here; they are imported when first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "load_dataset": ("orl.data.catalog", "load"),
    "fit_model": ("orl.runs.fit_model", "fit_model"),
    "load_model": ("orl.runs.fit_model", "load_model"),
    "train_policy": ("orl.runs.train_policy", "train_policy"),
    "load_policy": ("orl.runs.policy", "load_policy"),
    "evaluate": ("orl.runs.evaluate", "evaluate"),
    "fit_sequence": ("orl.runs.fit_sequence", "fit_sequence"),
    "load_sequence": ("orl.runs.fit_sequence", "load_sequence"),
    "plan": ("orl.runs.plan", "plan"),
    "load_planner": ("orl.runs.planner", "load_planner"),
    "predict": ("orl.runs.predict", "predict"),
    "ope": ("orl.runs.ope", "ope"),
    "select": ("orl.runs.select", "select"),
    "tune": ("orl.runs.tune", "tune"),
    "compare": ("orl.runs.compare", "compare"),
    "record_video": ("orl.runs.video", "record_video"),
    "export": ("orl.runs.export.run", "export"),
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orl' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(_HOMES)
