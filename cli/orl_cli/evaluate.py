"""`orl evaluate`"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from orl.errors import Interrupted, OrlError, UsageError
from orl_cli.common import (
    DEFAULT_ROOT,
    Debug,
    Deterministic,
    Device,
    Json,
    Quiet,
    Root,
    TrustEnv,
    guarded,
    set_up_machine,
)
from orl_cli.console import error_line, out, print_json, print_table, reporter_for


@guarded
def evaluate(
    run: Annotated[list[Path], typer.Argument(help="Run folders of trained policies.", show_default=False)],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per seed.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="First reset seed: the same start states for every run.")] = 0,
    env: Annotated[str | None, typer.Option(help="Gymnasium id; by default the one the data was recorded in.")] = None,
    trust_env: TrustEnv = False,
    video: Annotated[
        Path | None, typer.Option(help="Film an episode into this .mp4 or .gif, beside what the run's model expects.")
    ] = None,
    video_episodes: Annotated[
        int | None, typer.Option(min=1, help="With --video: so many episodes.", show_default="1")
    ] = None,
    anchor_every: Annotated[
        int | None,
        typer.Option(min=1, help="With --video: show the model the true state every so many steps.", show_default="25"),
    ] = None,
    bc: Annotated[
        bool, typer.Option("--bc/--no-bc", help="Show behaviour cloning beside; trained if not there yet.")
    ] = True,
    runs: Root = DEFAULT_ROOT,
    device: Device = "auto",
    deterministic: Deterministic = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run trained policies in their environment and compare them with the behaviour and with bc.

    Writes per-episode results to RUN/eval/.

    Examples:  orl evaluate runs/orl-pendulum-mixed-v0/mopo-s0   ·   orl evaluate RUN --video episode.gif
    """
    set_up_machine(device, deterministic=deterministic)
    from orl.evaluation.episodes import EnvSpec
    from orl.runs.directory import load_run
    from orl.runs.evaluate import evaluate as play
    from orl.runs.yardstick import bc_for

    reporter = reporter_for(quiet)
    spec = EnvSpec(env) if env else None
    wishes = {"episodes": video_episodes, "anchor_every": anchor_every}
    filming = {name: value for name, value in wishes.items() if value is not None}
    if video is not None:
        from orl.runs.video_file import check_format

        check_format(video)
        if len(run) > 1:
            raise UsageError("--video films one run; name it alone")
    elif filming:
        raise UsageError("--video-episodes and --anchor-every belong to --video")
    opened = [load_run(path, "policy") for path in run]  # a wrong path is said before an hour of episodes, not after
    judge = functools.partial(play, episodes=episodes, seed=seed, env=spec, trust_env=trust_env, reporter=reporter)
    documents = [judge(path) for path in run]
    if video is not None:
        from orl.runs.video import record_video

        documents[0]["video"] = record_video(
            run[0], video, seed=seed, env=spec, trust_env=trust_env, reporter=reporter, **filming
        )
    if bc:
        put_bc_beside(opened, documents, lambda one: judge(bc_for(one, runs, reporter)))
    if json:
        seconds = sum(document["seconds"] for document in documents)
        many = {"schema": 1, "run": [str(p) for p in run], "seconds": seconds, "versions": documents[0]["versions"]}
        return print_json(documents[0] if len(documents) == 1 else many | {"evaluations": documents})
    datasets = dict.fromkeys(one.record["dataset"]["name"] for one in opened)
    for name in datasets:
        chosen = [d for one, d in zip(opened, documents, strict=True) if one.record["dataset"]["name"] == name]
        print_table(score_table(name, chosen))
    return out(video_line(documents[0]["video"])) if video is not None else None


def video_line(found: dict[str, Any]) -> str:
    """What was filmed, and how good the model's predictions in it were."""
    said = f"video: {found['file']}, {found['frames']} frames at {found['fps']:.3g} a second"
    if not found["model"]:
        return said
    return (
        f"{said}; model error {found['error']:.3f} of the data's spread, true state every {found['anchor_every']} steps"
    )


def put_bc_beside(opened: list[Any], documents: list[dict[str, Any]], judge_bc: Callable[[Any], dict]) -> None:
    """Add `bc` to every document: one of those given where it is bc, else what `judge_bc(run)` finds out.

    Where that fails (the dataset is gone, say) the results stand without bc, and a line says why.
    """
    yardsticks: dict[tuple[str, int], dict[str, Any]] = {}
    for one, document in zip(opened, documents, strict=True):
        if document["algorithm"] == "bc":
            yardsticks.setdefault((one.record["fingerprint"], one.history), document)
    for one, document in zip(opened, documents, strict=True):
        key = one.record["fingerprint"], one.history
        try:
            if key not in yardsticks:
                yardsticks[key] = judge_bc(one)
        except Interrupted:
            raise
        except OrlError as error:
            error_line(f"note: no bc beside {document['run']}: {error}")
            continue
        document["bc"] = {name: yardsticks[key][name] for name in ("run", "score", "best_score")}


def score_table(dataset: str, documents: list[dict[str, Any]]) -> Any:
    """Behaviour, bc and the methods, one line each."""
    from rich.table import Table

    first = documents[0]
    normalised = first["score"]["normalised"]
    unit = "score" if normalised else "return"
    table = Table(
        title=f"{dataset} · {first['environment']} · {first['episodes']} episodes a seed", title_justify="left"
    )
    table.add_column("policy")
    timed = any("ms_per_action" in document for document in documents)
    for column in (unit, "iqm", "95% interval", "best", "in model", "gap", *["ms"] * timed):
        table.add_column(column, justify="right", no_wrap=True)
    for row in behaviour_rows(first["behaviour"], normalised) + method_rows(documents):
        table.add_row(*row[: len(table.columns)])
    notes = []
    if normalised:
        reference = first["reference"]
        notes.append(f"score: 0 = return {reference['min']:.4g}, 100 = {reference['max']:.4g} ({reference['source']})")
    notes.append(
        "best: checkpoint chosen with the simulator · in model: what the bare model promises, gap: minus the truth"
    )
    if timed:
        notes.append("ms: median time a planner takes for an action of one episode, all played side by side")
    seeds = {len(document["seeds"]) for document in documents}
    one_seed = "over episodes of one seed, which says nothing of other seeds"
    if min(seeds) > 1:
        notes.append("interval over seeds")
    else:
        notes.append(f"interval {one_seed}" if max(seeds) == 1 else f"interval over seeds, or {one_seed}")
    table.caption, table.caption_justify = "\n".join(notes), "left"
    return table


def behaviour_rows(behaviour: dict[str, Any], normalised: bool) -> list[list[str]]:
    """The log itself: its mean episode and its best."""
    mean, best = (behaviour["score"], behaviour["best_score"]) if normalised else (behaviour["mean"], behaviour["best"])
    rows = [["behaviour", f"{mean:.1f}"], ["best episode", f"{best:.1f}"]]
    return [row + [""] * 6 for row in rows]


def method_rows(documents: list[dict[str, Any]]) -> list[list[str]]:
    """bc first, whether asked for or only a yardstick, then the methods in the order given."""
    algorithms = [document["algorithm"] for document in documents]

    def name(document: dict[str, Any]) -> str:
        algorithm = document["algorithm"]
        return algorithm if algorithms.count(algorithm) == 1 else Path(document["run"]).name

    cloned = [_row(name(document), document) for document in documents if document["algorithm"] == "bc"]
    if not cloned and "bc" in documents[0]:
        cloned = [_row("bc", documents[0]["bc"])]
    return cloned + [_row(name(document), document) for document in documents if document["algorithm"] != "bc"]


def _row(name: str, document: dict[str, Any]) -> list[str]:
    score, value = document["score"], document.get("model_value")
    interval = "–"
    if score["ci95"]:
        low, high = score["ci95"]
        interval = f"{low:.1f} to {high:.1f}" if max(abs(low), abs(high)) < 1000 else f"{low:.0f} to {high:.0f}"
    cells = [name, f"{score['mean']:.1f}", f"{score['iqm']:.1f}", interval, f"{document['best_score']['mean']:.1f}"]
    ms = f"{document['ms_per_action']['median']:.1f}" if "ms_per_action" in document else "–"
    if not value:
        return [*cells, "–", "–", ms]
    if value["mean_return"] is None:
        return [*cells, "diverges", "–", ms]
    return [*cells, f"{value['score']:.1f}", f"{value['gap']:+.1f}", ms]
