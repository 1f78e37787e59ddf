"""`orl train-policy`"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import (
    DEFAULT_ALGORITHM,
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
    TrustEnv,
    WhenDiverged,
    guarded,
    overrides,
    set_up_machine,
)
from orl_cli.console import out as say
from orl_cli.console import print_json, reporter_for

Algo = Annotated[
    str | None,
    typer.Option(
        "--algo",
        "-a",
        help="bc, cql, rebrac, mbpo, mopo, morel, combo, mobile or mobrac.",
        show_default=DEFAULT_ALGORITHM,
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(help="Run folder of a fitted model; by default found below --runs, else fitted first."),
]
Init = Annotated[
    Path | None,
    typer.Option(help="Run folder of a finished bc run on the same dataset: begin as its policies, seed by seed."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Train this seed (default 0).")]
Seeds = Annotated[str | None, typer.Option(help="Train several at once: 0:3 (end excluded) or 0,2,5.")]
SeedAxis = Annotated[
    str | None,
    typer.Option(
        help="vmap: one batched program; map: one after the other, bit-exact with single runs.", show_default="vmap"
    ),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Gradient updates; rounded up to whole epochs.")]
Penalty = Annotated[
    str | None,
    typer.Option(
        help="lambda, what a unit of the model's uncertainty costs: a number, or 'calibrated' on held-out episodes."
    ),
]
Share = Annotated[
    float | None,
    typer.Option(help="Share of held-out rows whose model error a calibrated penalty covers.", show_default="0.75"),
]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on with an unfinished run of the same settings.")
]


@guarded
def train_policy(
    algo: Algo = None,
    dataset: Dataset = None,
    model: Model = None,
    init: Init = None,
    seed: Seed = None,
    seeds: Seeds = None,
    seed_axis: SeedAxis = None,
    steps: Steps = None,
    history: History = None,
    penalty: Penalty = None,
    share: Share = None,
    out: Out = None,
    runs: Root = DEFAULT_ROOT,
    config: ConfigFile = None,
    set_: Set = None,
    trust_env: TrustEnv = False,
    resume: Resume = True,
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
    """Train a policy from a dataset, with or without a model.

    The same command goes on where it was stopped, and prints the result again once it is finished.

    Examples:  orl train-policy --algo combo --seeds 0:3   ·   orl train-policy -a mopo --penalty calibrated
    ·   orl train-policy -a mobrac --init runs/orl-pendulum-mixed-v0/bc-s0
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.data.catalog import load
    from orl.errors import UsageError
    from orl.runs.config import resolve_policy
    from orl.runs.model_supply import refuse_other_history
    from orl.runs.penalty import penalty_settings
    from orl.runs.seeds import parse_seeds
    from orl.runs.tracking import tracked
    from orl.runs.train_policy import default_policy_path
    from orl.runs.train_policy import train_policy as train

    reporter = reporter_for(quiet)
    chosen = None if seed is None and seeds is None else list(parse_seeds(seed, seeds))
    length = {"steps": steps} if steps else None
    if model is not None and history is not None:
        refuse_other_history(model, history)
    settings = overrides(
        config, set_, dataset=dataset, algorithm=algo, seeds=chosen, seed_axis=seed_axis, train=length, history=history
    )
    dataset = str(settings.get("dataset", DEFAULT_DATASET))
    algorithm = str(settings.get("algorithm", DEFAULT_ALGORITHM))
    settings, covered = penalty_settings(algorithm, settings, penalty, share)
    resolved, presets = resolve_policy(dataset, algorithm, settings)
    path = out or default_policy_path(runs, resolved, init, covered)
    if dry_run:
        return _dry_run(dataset, resolved, presets, path, model, init, runs, covered, probe, json)
    if not resume and (path / "run.json").exists() and not force:
        raise UsageError(f"{path} already holds a run; --no-resume needs another --out, or --force to replace it")
    data = load(dataset, reporter.message)
    with tracked(reporter, tracker or []) as told:
        document = train(
            data,
            resolved,
            path,
            root=runs,
            model=model,
            init=init,
            presets=presets,
            penalty_share=covered,
            trust_env=trust_env,
            force=force,
            on_divergence=on_divergence.value,
            reporter=told,
        )
    return print_json(document) if json else _summary(document)


def _dry_run(
    dataset: str,
    resolved: Any,
    presets: list[Any],
    path: Path,
    model: Path | None,
    init: Path | None,
    runs: Path,
    penalty_share: float | None,
    probe: bool,
    json: bool,
) -> None:
    from orl.data.catalog import load
    from orl.data.history import with_history
    from orl.runs.initial_policy import initial_policy
    from orl.runs.memory_needs import policy_plan
    from orl.runs.model_supply import must_be_fitted
    from orl.runs.penalty import DECIDED, recorded_penalty, with_penalty
    from orl.runs.probe import probe_policy
    from orl.runs.train_policy import with_settings_of
    from orl_cli.dry_run import show_dry_run

    notes: tuple[str, ...] = ()
    if penalty_share is not None:
        figures = recorded_penalty(path, penalty_share)
        if figures:
            resolved = with_penalty(resolved, figures)
        else:
            notes = (f"{', '.join(f'agent.{key}' for key in DECIDED)} will be calibrated once there is a model",)
    read = functools.cache(lambda: load(dataset))
    used = functools.cache(lambda: with_settings_of(model, resolved))

    def planned() -> Any:
        if init is not None:  # refused as by the run itself
            initial_policy(with_history(read(), used().history), used(), init)
        return policy_plan(read(), used())

    def time_it() -> Any:
        estimate = probe_policy(read(), used())
        left_out = estimate.left_out
        if model is None and must_be_fitted(read(), used(), runs):
            left_out += ("the fit of its model",)
        return estimate._replace(left_out=left_out + (("the calibration of its penalty",) if notes else ()))

    show_dry_run(resolved, presets, path, json, planned, time_it if probe else None, notes)


def _summary(document: dict[str, Any]) -> None:
    rate = document["updates_per_second"]
    say(
        f"{document['algorithm']} on {document['dataset']['name']}: {document['steps']} updates"
        + (f" at {rate:.0f}/s" if rate else "")
        + f", {document['seconds']:.0f} s"
    )
    if document["penalty"]:
        penalty = document["penalty"]
        say(f"penalty {penalty['penalty_coef']:.3g} x {penalty['uncertainty']}, calibrated without a simulator")
    if "score" in document:
        score, unit = document["score"], "score" if document["score"]["normalised"] else "return"
        per_seed = ", ".join(f"{value:.1f}" for value in score["per_seed"])
        say(f"{unit} {score['mean']:.1f} over {score['episodes']} episodes a seed")
        say(f"seeds {document['seeds']}: {per_seed}")
    judge = "evaluate" if "score" in document else "ope"  # there is something to play in, or the log alone
    say(f"run: {document['run']}    next: orl {judge} {document['run']}")
