"""The file that declares the candidates of `orl tune`, read entry by entry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from orl.algorithms import ALGORITHMS
from orl.config import Tree, build, did_you_mean, presets_folder, read_toml
from orl.documents import brief
from orl.errors import UsageError
from orl.runs.budget import BudgetConfig
from orl.runs.candidates import CandidateConfig, CandidateSet, SharedConfig, resolve_candidate, resolve_model
from orl.runs.ope_config import OpeConfig

DEFAULT_SET = Path("tune/default.toml")  # below the presets' folder
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# a candidate's `set` cannot change these: they are shared, or keys of the entry itself
NOT_SET = ("dataset", "algorithm", "seeds", "seed_axis", "model", "model_seed", "history")


def default_set() -> Path:
    """The file that is used where none is named."""
    return presets_folder() / DEFAULT_SET


def read_candidates(path: Path) -> CandidateSet:
    """The candidates in a file, checked one by one.

    Raises:
        UsageError: naming the file, the entry and the key.
    """
    tree = read_toml(path)
    try:
        _refuse_unknown_tables(tree)
        entries = tree.get("candidate", [])
        if not isinstance(entries, list) or not entries:
            raise UsageError("names no candidate; begin one with [[candidate]], a name and an algo")
        shared = build(SharedConfig, tree.get("shared", {}), "shared.")
        _refuse_steps(shared.train, "shared.train", "each candidate has a key steps of its own")
        budget = build(BudgetConfig, tree.get("budget", {}), "budget.")
        ope = build(OpeConfig, tree.get("ope", {}), "ope.")
        found: list[CandidateConfig] = []
        for number, entry in enumerate(entries, start=1):
            found.append(_read_candidate(number, entry, found))
        _refuse_unused(shared, found)
        candidates = CandidateSet(tuple(found), shared, budget, ope)
        _try(candidates)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return candidates


def _try(candidates: CandidateSet) -> None:
    """Resolve everything once for no dataset in particular: a slip is found before anything is measured or fitted."""
    shared = candidates.shared.history
    try:
        resolve_model("", candidates, 0)
    except UsageError as error:
        raise UsageError(f"shared: {error}") from None
    stated = {each.name: each.history for each in candidates.candidate}
    for candidate in candidates.candidate:
        # where the shared history is not known yet, take one that contradicts nothing that is stated
        depths = [shared, candidate.history, stated.get(candidate.init or "")]
        history = next((depth for depth in depths if isinstance(depth, int)), 0)
        resolve_candidate("", candidates, candidate, history)


def _read_candidate(number: int, entry: Any, before: Sequence[CandidateConfig]) -> CandidateConfig:
    place = f"candidate {number}"
    if not isinstance(entry, dict):
        raise UsageError(f"{place} is a table of settings, not {entry!r}")
    lacking = [key for key in ("name", "algo") if key not in entry]
    if isinstance(entry.get("name"), str):
        place += f" ({brief(entry['name'])})"
    try:
        candidate = build(CandidateConfig, {key: entry.get(key, "") for key in ("name", "algo")} | entry)
        if lacking:
            raise UsageError(f"lacks {' and '.join(lacking)}")
        _check_candidate(candidate, before)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None
    return candidate


def _check_candidate(candidate: CandidateConfig, before: Sequence[CandidateConfig]) -> None:
    if not NAME.fullmatch(candidate.name):
        raise UsageError(f"name = {candidate.name!r}: letters, digits, dots, hyphens and underscores only")
    if candidate.name in [each.name for each in before]:
        raise UsageError(f"name = {candidate.name!r}: another candidate has that name")
    if candidate.algo not in ALGORITHMS:
        raise UsageError(f"algo = {candidate.algo!r}: unknown algorithm{did_you_mean(candidate.algo, ALGORITHMS)}")
    for key in candidate.set:
        if key in NOT_SET:
            raise UsageError(f"set.{key}: this is for the table [shared], or a key of the entry itself")
    _refuse_steps(candidate.set.get("train", {}), "set.train", "the entry's own key steps has it")
    _check_init(candidate, before)


def _check_init(candidate: CandidateConfig, before: Sequence[CandidateConfig]) -> None:
    if candidate.init is None:
        return
    clones = {each.name: each for each in before if each.algo == "bc"}
    if candidate.init not in clones:
        hint = did_you_mean(candidate.init, clones) if clones else "; there is none"
        raise UsageError(f"init = {candidate.init!r}: expected the name of a bc candidate further up{hint}")


def _refuse_unknown_tables(tree: Tree) -> None:
    known = [each.name for each in fields(CandidateSet)]
    for key in tree:
        if key not in known:
            raise UsageError(f"unknown table {key}{did_you_mean(key, known)}")
    for key in ("shared", "budget", "ope"):
        if not isinstance(tree.get(key, {}), dict):
            raise UsageError(f"{key} is a table of settings, not {tree[key]!r}")


def _refuse_steps(train: Any, place: str, where: str) -> None:
    if not isinstance(train, dict):
        raise UsageError(f"{place} is a table of settings, not {train!r}")
    if "steps" in train:
        raise UsageError(f"{place}.steps: {where}")


def _refuse_unused(shared: SharedConfig, found: Sequence[CandidateConfig]) -> None:
    """A key of `[shared.agent]` that no candidate's algorithm has is a slip."""
    known = {each.name for candidate in found for each in fields(ALGORITHMS[candidate.algo].config)}
    for key in shared.agent:
        if key not in known:
            raise UsageError(f"unknown setting shared.agent.{key}{did_you_mean(key, known)}")
