"""What lies in the run folders that a report is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orl.errors import DataError
from orl.runs.directory import RunDirectory, config_tree, find_runs, load_run
from orl.runs.report.records import Diagnosis, Evaluation, Prediction, checked

MODEL_KINDS = ("ensemble", "transformer")


@dataclass(frozen=True)
class Source:
    """One run folder; what is in it is read when it is first asked for, and refused by a DataError where broken."""

    run: RunDirectory

    @property
    def path(self) -> Path:
        """The folder."""
        return self.run.path

    @property
    def is_model(self) -> bool:
        """Whether the run is the fit of a model, not a policy or a planner."""
        return self.run.record["kind"] in MODEL_KINDS

    @cached_property
    def settings(self) -> dict[str, Any]:
        """config.toml."""
        return config_tree(self.path)

    @cached_property
    def name(self) -> str:
        """The method: an algorithm, a planner, or the kind of model."""
        named = self.run.record.get("planner") or self.settings.get("algorithm")
        if named is None and self.is_model:
            named = _settings_word(self.settings, "arch", str(self.run.record["kind"]))
        return str(named or self.run.record["kind"])

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """Rows of metrics.jsonl."""
        return self.run.rows("metrics.jsonl")

    @cached_property
    def train_seconds(self) -> float:
        """Seconds of all epochs so far, earlier calls included."""
        return float(sum(number(row.get("seconds")) or 0.0 for row in self.run.rows("timings.jsonl")))

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Oldest first; files that begin with a dot are parts of one under way."""
        files = sorted((self.path / "eval").glob("[!.]*.json"), key=lambda file: (file.stat().st_mtime, file.name))
        return [checked(file, Evaluation) for file in files]

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """What `orl diagnose` left."""
        return self._document("diagnose/diagnosis.json", Diagnosis)

    @cached_property
    def prediction(self) -> Prediction | None:
        """What `orl predict` left."""
        return self._document("predict/prediction.json", Prediction)

    @cached_property
    def models(self) -> list[Source]:
        """The models that the run uses: itself where it is one, else the copies in its folder."""
        if self.is_model:
            return [self]
        copies = [self.path / "model", *sorted((self.path / "models").glob("*"))]
        return [Source(load_run(copy)) for copy in copies if (copy / "run.json").is_file()]

    def _document(self, file: str, kind: Any) -> Any:
        path = self.path / file
        return checked(path, kind) if path.is_file() else None


def _settings_word(settings: dict[str, Any], key: str, otherwise: str) -> str:
    model = settings.get("model")
    return "lstm" if isinstance(model, dict) and model.get(key) == "lstm" else otherwise


def open_sources(paths: list[Path]) -> list[Source]:
    """The runs at `paths`, each once, in their order; a folder that holds runs stands for all of them.

    Raises:
        DataError: neither a run nor a folder with runs, or a run of an unfamiliar kind.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        runs = [load_run(path)] if (path / "run.json").exists() else list(find_runs(path))
        if not runs:
            load_run(path)  # says what is wrong with it
        for run in runs:
            if not isinstance(run.record.get("dataset"), dict):
                raise DataError(f"{run.path}/run.json is damaged: it lacks dataset")
            found.setdefault(run.path.resolve(), Source(run))
    return list(found.values())


def number(value: Any) -> float | None:
    """`value` of a log's row where it is a number; anything else counts as none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
