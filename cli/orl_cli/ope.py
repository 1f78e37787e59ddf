"""`orl ope`, and the options it shares with `orl select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orl_cli.common import (
    DEFAULT_ROOT,
    ConfigFile,
    Debug,
    Deterministic,
    Device,
    Json,
    Quiet,
    Root,
    Set,
    guarded,
    overrides,
    set_up_machine,
)
from orl_cli.console import out, print_json, print_table, reporter_for

Runs = Annotated[list[Path], typer.Argument(help="Run folders of trained policies.", show_default=False)]
Discount = Annotated[
    float | None,
    typer.Option(help="Per step, inside (0, 1); by default the one the policies were trained with, 0.99 for bc."),
]
Updates = Annotated[int | None, typer.Option("--fqe-updates", min=1, help="Gradient updates of each fitted Q.")]
Members = Annotated[int | None, typer.Option(min=2, help="Fitted Qs that judge each episode, on resampled episodes.")]
Folds = Annotated[int | None, typer.Option(min=2, help="Parts of the log, each judged by what was fitted without it.")]
JudgeSeed = Annotated[int | None, typer.Option(min=0, help="Of fits, folds and resampling: the same for everyone.")]
Again = Annotated[bool, typer.Option("--force", help="Compute again what was kept in the run folders.")]

ABOUT = {
    "fqe": "what Q-functions fitted to the log say of its first states; a guess where the policy acts unlike the log",
    "doubly_robust": "fitted Q, corrected by logged rewards where the log went the policy's way",
    "weighted_doubly_robust": "the same with weights normalised over episodes: less noise, a little bias",
    "weighted_importance": "logged rewards by how much likelier the policy makes them, weights normalised at each step",
    "per_decision_importance": "the same without normalising: no bias, and usually far too much noise",
    "model": "the policy in the learned model, whose errors it may exploit",
    "penalised_model": "the same less a price for what the model is unsure of; meant to be low",
}


@guarded
def ope(
    run: Runs,
    seed: Annotated[int | None, typer.Option(min=0, help="Only this seed of each run.")] = None,
    discount: Discount = None,
    fqe_updates: Updates = None,
    members: Members = None,
    folds: Folds = None,
    judge_seed: JudgeSeed = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what each method does.")] = False,
    runs: Root = DEFAULT_ROOT,
    config: ConfigFile = None,
    set_: Set = None,
    force: Again = False,
    device: Device = "auto",
    deterministic: Deterministic = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what policies are worth by the log alone, by several methods, and whether to believe it.

    No simulator is used. What was found is kept in RUN/ope/, so that the same call, or `orl select`, does not compute
    it again.

    Example:  orl ope runs/orl-pendulum-mixed-v0/mopo-s0
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.runs.ope import ope as judge

    settings = ope_settings(config, set_, discount, fqe_updates, members, folds, judge_seed)
    reporter = reporter_for(quiet)
    document = judge(run, settings=settings, seed=seed, root=runs, force=force, reporter=reporter)
    if json:
        return print_json(document)
    for candidate in document["candidates"]:
        print_table(candidate_table(candidate, verbose))
    return out("values are discounted returns of an episode, intervals hold 95%; how to read them: docs/judging.md")


def ope_settings(
    config: Path | None,
    assignments: list[str] | None,
    discount: float | None,
    updates: int | None,
    members: int | None,
    folds: int | None,
    judge_seed: int | None,
) -> Any:
    """The settings from `--config`, `--set ope.…` and the flags."""
    from orl.runs.ope_config import resolve_ope

    fqe = {key: value for key, value in (("updates", updates), ("members", members)) if value is not None}
    given = {"discount": discount, "folds": folds, "seed": judge_seed}
    flags = {key: value for key, value in given.items() if value is not None}
    return resolve_ope(overrides(config, assignments, ope=flags | ({"fqe": fqe} if fqe else {})))


def candidate_table(candidate: dict[str, Any], verbose: bool) -> Any:
    """One policy: the behaviour, then a line a method, and the verdict below."""
    from rich.table import Table

    from orl.evaluation.ope.methods import LABELS

    table = Table(title=f"{candidate['label']} · discount {candidate['discount']:g}", title_justify="left")
    table.add_column("method", overflow="fold")
    for column in ("value", "95% interval", "over behaviour"):
        table.add_column(column, justify="right", no_wrap=True)
    behaviour = candidate["behaviour"]
    table.add_row("behaviour", number(behaviour["value"]), interval(behaviour), "")
    for name, estimate in candidate["estimates"].items():
        figures = number(estimate["value"]), interval(estimate), interval(estimate["improvement"])
        table.add_row(LABELS[name], *figures)
    about = [f"{LABELS[name]}: {ABOUT[name]}" for name in candidate["estimates"]] if verbose else []
    table.caption, table.caption_justify = "\n".join(notes(candidate) + about), "left"
    return table


def notes(candidate: dict[str, Any]) -> list[str]:
    """What else there is to say: the support of the log, undiscounted returns, what is missing, the verdict."""
    support, plain = candidate["support"], candidate["undiscounted"]
    found = [
        f"effective episodes {support['effective']:.1f} of {support['episodes']} · far from the behaviour's action in"
        f" {100 * support['far_share']:.0f}% of logged states"
    ]
    if plain is not None:
        found.append(
            f"undiscounted: behaviour {number(plain['behaviour'])}, model {number(plain['model'])},"
            f" penalised {number(plain['penalised_model'])}"
        )
    found += sorted({f"no estimate by the model: {reason}" for reason in candidate["left_out"].values()})
    verdict = candidate["verdict"]
    return [*found, f"verdict: {verdict['kind']}", verdict["reason"]]


def number(value: float | None) -> str:
    """Four significant digits, fewer of huge numbers, or a dash."""
    return "–" if value is None else f"{value:.4g}" if abs(value) < 1e5 else f"{value:.1g}"


def interval(estimate: dict[str, Any]) -> str:
    """'-3.2 to 4.1'; a dash where nothing bounds it."""
    low, high = estimate["low"], estimate["high"]
    return "–" if low is None and high is None else f"{number(low)} to {number(high)}"
