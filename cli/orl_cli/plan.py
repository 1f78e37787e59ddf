"""`orl plan`"""

from __future__ import annotations

from pathlib import Path
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
    Out,
    Quiet,
    Root,
    Set,
    TrustEnv,
    guarded,
    overrides,
    set_up_machine,
)
from orl_cli.console import print_json, print_table, reporter_for

DEFAULT_PLANNER = "beam"


@guarded
def plan(
    planner: Annotated[
        str | None,
        typer.Option("--planner", "-p", help="beam, mcts, gradient, mppi or cem.", show_default=DEFAULT_PLANNER),
    ] = None,
    dataset: Dataset = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Run folder of a fitted model; by default found below --runs, else fitted first."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Plan under the model of this seed (default 0).")] = None,
    seeds: Annotated[str | None, typer.Option(help="One model and planner each: 0:3 (end excluded) or 0,2,5.")] = None,
    beam: Annotated[int | None, typer.Option(min=1, help="beam: plans kept.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, help="Steps planned ahead.")] = None,
    n_expand: Annotated[int | None, typer.Option(min=1, help="beam: children a plan.")] = None,
    k_obs: Annotated[int | None, typer.Option(min=0, help="Likely observation tokens kept; 1 greedy, 0 all.")] = None,
    k_act: Annotated[int | None, typer.Option(min=0, help="Likely action tokens kept; 0 all.")] = None,
    cdf_act: Annotated[float | None, typer.Option(min=0, max=1, help="Mass of unlikely action tokens dropped.")] = None,
    plan_freq: Annotated[int | None, typer.Option(min=1, help="Steps acted before planning again.")] = None,
    context: Annotated[int | None, typer.Option(min=0, help="Past transitions the planner reads.")] = None,
    history: History = None,
    objective: Annotated[str | None, typer.Option(help="beam: reward, or likelihood (which imitates).")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per seed, played side by side.")] = 20,
    eval_seed: Annotated[int, typer.Option(min=0, help="First reset seed, as --seed of `orl evaluate`.")] = 0,
    env: Annotated[str | None, typer.Option(help="Gymnasium id; by default the one the data was recorded in.")] = None,
    trust_env: TrustEnv = False,
    obs: Annotated[
        str | None, typer.Option(help="Plan once from this observation (1.0,0.0,0.0) and stop; needs no environment.")
    ] = None,
    bc: Annotated[
        bool, typer.Option("--bc/--no-bc", help="Show behaviour cloning beside; trained if not there yet.")
    ] = True,
    out: Out = None,
    runs: Root = DEFAULT_ROOT,
    config: ConfigFile = None,
    set_: Set = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Act by planning under a learned model; no policy is trained.

    Writes returns, timings and the plans themselves to the run folder; finished seeds are kept when it is stopped.

    Examples:  orl plan --beam 32   ·   orl plan -p mppi --seeds 0:3   ·   orl plan --obs 1.0,0.0,0.0
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.data.catalog import load
    from orl.planning import PLANNERS
    from orl.runs.config_plan import resolve_plan
    from orl.runs.model_supply import refuse_other_history
    from orl.runs.plan import default_plan_path
    from orl.runs.seeds import parse_seeds

    reporter = reporter_for(quiet)
    chosen = None if seed is None and seeds is None else list(parse_seeds(seed, seeds))
    names = ("beam", "horizon", "n_expand", "k_obs", "k_act", "cdf_act", "plan_freq", "context", "objective")
    given = (beam, horizon, n_expand, k_obs, k_act, cdf_act, plan_freq, context, objective)
    table = {name: value for name, value in zip(names, given, strict=True) if value is not None}
    settings = overrides(
        config, set_, dataset=dataset, planner=planner, seeds=chosen, plan=table or None, history=history
    )
    dataset = str(settings.get("dataset", DEFAULT_DATASET))
    resolved, presets = resolve_plan(dataset, str(settings.get("planner", DEFAULT_PLANNER)), settings)
    if model is not None and history is not None and PLANNERS[resolved.planner].model == "ensemble":
        refuse_other_history(model, history)
    path = out or default_plan_path(runs, resolved)
    if dry_run:
        from orl.runs.memory_needs import planner_plan
        from orl_cli.dry_run import show_dry_run

        return show_dry_run(resolved, presets, path, json, lambda: planner_plan(load(dataset), resolved))
    data = load(dataset, reporter.message)
    if obs is not None:
        return _once(obs, data, resolved, model, runs, reporter, json)
    how = episodes, eval_seed, env, trust_env, bc
    return _play(data, resolved, path, model, presets, how, runs, force, reporter, json)


def _play(
    data: Any,
    resolved: Any,
    path: Path,
    model: Path | None,
    presets: list[Any],
    how: tuple[int, int, str | None, bool, bool],
    runs: Path,
    force: bool,
    reporter: Any,
    json: bool,
) -> None:
    """Episodes in the environment, and the table with all that was evaluated there on this data."""
    from orl.evaluation.episodes import EnvSpec
    from orl.runs.directory import load_run
    from orl.runs.evaluate import evaluate
    from orl.runs.plan import finished_evaluations
    from orl.runs.plan import plan as act
    from orl.runs.yardstick import bc_for
    from orl_cli.evaluate import put_bc_beside, score_table

    episodes, seed, env_id, trust_env, bc = how
    env = EnvSpec(env_id) if env_id else None
    document = act(
        data, resolved, path, root=runs, model=model, episodes=episodes, seed=seed, env=env, trust_env=trust_env,
        presets=presets, force=force, reporter=reporter,
    )  # fmt: skip
    run = load_run(path)
    if bc:
        put_bc_beside(
            [run],
            [document],
            lambda one: evaluate(
                bc_for(one, runs, reporter),
                episodes=episodes,
                seed=seed,
                env=env,
                trust_env=trust_env,
                reporter=reporter,
            ),
        )
    if json:
        return print_json(document)
    others = finished_evaluations(runs, run.record["fingerprint"], document["environment"], path)
    return print_table(score_table(data.name, [document, *others]))


def _once(obs: str, data: Any, resolved: Any, model: Path | None, runs: Path, reporter: Any, json: bool) -> None:
    """One plan from one observation."""
    import time

    from orl.runs.plan_once import plan_once, read_obs
    from orl.runs.planner import temporary_planner
    from orl_cli.common import stamp

    began = time.perf_counter()
    start = read_obs(obs, data.spec.obs_dim)
    planner, folder = temporary_planner(data, resolved, root=runs, model=model, reporter=reporter)
    document = plan_once(planner, start)
    if json:
        return print_json(stamp(began, str(folder)) | {"planner": resolved.planner, "obs": start.tolist()} | document)
    return print_table(_plan_table(document, resolved.planner))


def _plan_table(document: dict[str, Any], planner: str) -> Any:
    """The planned steps, one a line."""
    from rich.table import Table

    def numbers(values: list[float]) -> str:
        return "  ".join(f"{value:8.3f}" for value in values)

    plan = document["trajectory"]
    promised = "–" if document["value"] is None else f"{document['value']:.4g}"
    table = Table(title=f"{planner}: plan worth {promised} (discounted, by the model)", title_justify="left")
    for column in ("step", "observation", "action", "reward", "rewards to go"):
        table.add_column(column, justify="right", overflow="fold")
    for index, (obs, action, reward, value) in enumerate(zip(*plan.values(), strict=True)):
        shown = ["–" if each is None else f"{each:.3f}" for each in (reward, value)]
        table.add_row(str(index), numbers(obs), numbers(action), *shown)
    return table
