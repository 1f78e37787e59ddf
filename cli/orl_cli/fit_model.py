"""`orl fit-model`"""

from __future__ import annotations

import functools
from enum import StrEnum
from typing import Annotated, Any

import typer

from orl_cli.common import (
    DEFAULT_DATASET,
    DEFAULT_ROOT,
    ConfigFile,
    Dataset,
    Debug,
    Deterministic,
    Device,
    DryRun,
    Force,
    History,
    Json,
    OnDivergence,
    Out,
    Probe,
    Quiet,
    Root,
    Set,
    Trackers,
    WhenDiverged,
    guarded,
    overrides,
    set_up_machine,
)
from orl_cli.console import print_json, print_table, reporter_for


class Kind(StrEnum):
    """Kinds of models."""

    ensemble = "ensemble"
    transformer = "transformer"


@guarded
def fit_model(
    kind: Annotated[
        Kind, typer.Option("--kind", "-k", help="A dynamics ensemble, or a density model of whole trajectories.")
    ] = Kind.ensemble,
    arch: Annotated[
        str | None, typer.Option(help="Of a transformer: gpt, or lstm for the same tokens.", show_default="gpt")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of a transformer: gradient updates.")] = None,
    dataset: Dataset = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of initialisation and bootstrap.", show_default="0")
    ] = None,
    history: History = None,
    out: Out = None,
    runs: Root = DEFAULT_ROOT,
    config: ConfigFile = None,
    set_: Set = None,
    on_divergence: WhenDiverged = OnDivergence.stop,
    tracker: Trackers = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    force: Force = False,
    dry_run: DryRun = False,
    probe: Probe = True,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fit a model to a dataset and judge it on held-out episodes.

    The same command goes on where it was stopped, and prints the result again once it is finished.

    Examples:  orl fit-model   ·   orl fit-model -k transformer   ·   orl fit-model -d my-log.npz --set model.members=5
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.data.catalog import load
    from orl.errors import UsageError
    from orl.runs.config import resolve_fit, resolve_sequence
    from orl.runs.fit_model import fit_model as ensemble_fit
    from orl.runs.fit_sequence import fit_sequence
    from orl.runs.fits import fit_path
    from orl.runs.tracking import tracked

    reporter = reporter_for(quiet)
    only = {name: value for name, value in (("arch", arch), ("steps", steps)) if value is not None}
    if only and kind is Kind.ensemble:
        raise UsageError(f"--{next(iter(only))} is for --kind transformer")
    if history is not None and kind is Kind.transformer:
        raise UsageError(
            "--history is for ensembles; a transformer reads the past itself: --set model.window=N for N transitions"
        )
    settings = overrides(config, set_, dataset=dataset, seed=seed, model=only or None, history=history)
    dataset = str(settings.get("dataset", DEFAULT_DATASET))
    is_ensemble = kind is Kind.ensemble
    resolve, fit, table = (
        (resolve_fit, ensemble_fit, _table) if is_ensemble else (resolve_sequence, fit_sequence, _sequence_table)
    )
    resolved: Any
    resolved, presets = resolve(dataset, settings)
    data = load(dataset, reporter.message)
    path = out or fit_path(kind.value, runs, data, resolved)
    if dry_run:
        from orl.runs.memory_needs import ensemble_plan, sequence_plan
        from orl.runs.probe import probe_ensemble, probe_sequence
        from orl_cli.dry_run import show_dry_run

        needs, timed = (ensemble_plan, probe_ensemble) if is_ensemble else (sequence_plan, probe_sequence)
        measure = functools.partial(timed, data, resolved) if probe else None
        return show_dry_run(resolved, presets, path, json, functools.partial(needs, data, resolved), measure)
    with tracked(reporter, tracker or []) as told:
        more: dict[str, Any] = {"on_divergence": on_divergence.value, "reporter": told}
        document = fit(data, resolved, path, presets=presets, force=force, **more)
    return print_json(document) if json else print_table(table(document))


def _sequence_table(document: dict[str, Any]) -> Any:
    from rich.table import Table

    holdout = document["holdout"]
    table = Table(
        title=f"{document['dataset']['name']}: density of {holdout['rows']} held-out steps", title_justify="left"
    )
    table.add_column("token")
    table.add_column("cross-entropy (nats)", justify="right")
    table.add_column("by frequency alone", justify="right")
    for kind, value in holdout["cross_entropy"].items():
        table.add_row(kind, f"{value:.3f}", f"{holdout['cross_entropy_of_frequencies'][kind]:.3f}")
    table.caption = (
        f"{document['run']} · {document['seconds']:.0f} s · presets: {', '.join(document['presets']) or 'none'}"
    )
    table.caption_justify = "left"
    return table


def _table(document: dict[str, Any]) -> Any:
    from rich.table import Table

    holdout = document["holdout"]
    table = Table(
        title=f"{document['dataset']['name']}: model on {holdout['rows']} held-out steps", title_justify="left"
    )
    table.add_column("steps ahead", justify="right")
    table.add_column("rmse (standardised)", justify="right")
    table.add_column("over persistence", justify="right")
    for steps, error in holdout["k_step"].items():
        table.add_row(steps, f"{error['rmse']:.4f}", f"{error['rmse_over_persistence']:.3f}")
    reward, nll = holdout["reward_rmse"], holdout["nll"]
    caption = f"reward rmse {reward:.4g} · nll {nll:.3f} nats/dim · elites {document['elites']}"
    caption += f" · termination: {document['termination']}"
    if "termination" in holdout:
        found = holdout["termination"]
        caption += f" ({found['found']}/{found['terminals']} found, {found['false_alarms']} false alarms)"
    table.caption = (
        f"{caption}\n{document['run']} · {document['seconds']:.0f} s · presets: {', '.join(document['presets'])}"
    )
    table.caption_justify = "left"
    return table
