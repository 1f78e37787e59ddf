"""`orl demo`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orl_cli.common import DEFAULT_ROOT, Debug, Device, Json, Quiet, Root, guarded, set_up_machine, stamp
from orl_cli.console import out, print_json, print_table
from orl_cli.dashboard import Dashboard, Stage, clock, dashboard_for
from orl_cli.demo_table import Row, lesson, row_of, summary, table

if TYPE_CHECKING:
    from orl.data.episodes import Dataset

DATASETS = ("orl/pendulum/mixed-v0", "orl/pendulum/narrow-v0")
# Cloning; a model that is trusted; every way to be wary of one: by its reward, by its ends, by the critic, near the
# data; and wariness without a model. `mobile` prices doubt as `mopo` does, and takes several times as long.
METHODS = ("bc", "mbpo", "mopo", "morel", "combo", "mobrac", "cql")
PLANNED, PLANNER = DATASETS[0], "beam"  # the transformer takes longer than the rest of a dataset together
PLANNED_EPISODES = 5
REPORT = "report"


@guarded
def demo(
    episodes: Annotated[int, typer.Option(min=2, help="Evaluation episodes a policy; the planner plays 5.")] = 20,
    runs: Root = DEFAULT_ROOT,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """The field in a quarter of an hour: a method of each kind on both embedded datasets, and what each is worth.

    One seed, one shared model per dataset. Run again, it goes on where it was stopped.
    """
    began = time.perf_counter()
    set_up_machine(device)
    documents: dict[str, list[dict[str, Any]]] = {}
    rows: dict[str, list[Row]] = {}
    fits: list[Path] = []
    with dashboard_for("orl demo", stages(), quiet) as board:
        for name in DATASETS:
            data, behaviour = logged(name, board)
            fits.append(fitted(data, runs, board))
            documents[name] = learned(data, runs, episodes, board)
            if name == PLANNED:
                fits.append(fitted_sequence(data, runs, board))
                documents[name].append(planned(data, runs, episodes, board))
            rows[name] = [behaviour, *map(row_of, documents[name])]
        paths = [document["run"] for found in documents.values() for document in found]
        report = reported([*fits, *map(Path, paths)], runs / "report.html", board)
    if json:
        told = {name: {"rows": described(found), "summary": summary(found)} for name, found in rows.items()}
        more = {"evaluations": documents, "lessons": told, "report": report and str(report)}
        return print_json(stamp(began, paths) | more)
    for name, found in rows.items():
        unit = "score" if documents[name][0]["score"]["normalised"] else "return"
        print_table(table(name, found, unit, episodes))
    out(f"score 0: random torques, 100: a good controller; {PLANNER} plays {planned_episodes(episodes)} episodes")
    out("model: what it promises from the same starts; gap: its promise minus the truth")
    out("level: the 95% intervals touch; above, below: they do not")
    out(f"{len(paths)} policies in {clock(time.perf_counter() - began)}; their folders are below {runs}")
    return out(f"report: {report}") if report else None


def stages() -> list[Stage]:
    """Every stage, in order."""
    found = []
    for name in DATASETS:
        found += [Stage(short(name), each) for each in ("log", "model", *METHODS)]
        found += [Stage(short(name), each) for each in ("transformer", PLANNER) if name == PLANNED]
    return [*found, Stage("", REPORT)]


def short(dataset: str) -> str:
    """'mixed-v0'."""
    return dataset.rsplit("/", 1)[-1]


def logged(name: str, board: Dashboard) -> tuple[Dataset, Row]:
    """A dataset, and its behaviour: mean over the logged episodes with a bootstrap interval."""
    from orl.data.catalog import load
    from orl.evaluation.statistics import summarise

    with board.stage(short(name), "log") as stage:
        data = load(name, board.message)
        worth = summarise(data.returns[None], data.reference)
        unit = "score" if data.reference else "return"
        stage.outcome = f"{data.n_episodes} episodes, mean {unit} {worth.mean:.1f}"
    low, high = worth.ci95 or (worth.mean, worth.mean)
    return data, Row("behaviour", worth.mean, low, high)


def fitted(data: Dataset, runs: Path, board: Dashboard) -> Path:
    """The folder of the ensemble that a dataset's methods share."""
    from orl.algorithms import ALGORITHMS
    from orl.runs.config import resolve_policy
    from orl.runs.directory import load_run
    from orl.runs.model_supply import model_for

    with board.stage(short(data.name), "model") as stage:
        config, _ = resolve_policy(data.name, next(each for each in METHODS if ALGORITHMS[each].needs_model), {})
        path = model_for(data, config, runs, None, board).path
        error = load_run(path).record["result"]["holdout"]["rmse_over_persistence"]
        stage.outcome = f"error {100 * error:.1f}% of predicting no change"
    return path


def learned(data: Dataset, runs: Path, episodes: int, board: Dashboard) -> list[dict[str, Any]]:
    """The policies of a dataset; the evaluation of each."""
    from orl.runs.config import resolve_policy
    from orl.runs.evaluate import evaluate
    from orl.runs.train_policy import default_policy_path, train_policy

    documents = []
    for algorithm in METHODS:
        with board.stage(short(data.name), algorithm) as stage:
            config, presets = resolve_policy(data.name, algorithm, {})
            path = default_policy_path(runs, config)
            train_policy(data, config, path, root=runs, presets=presets, reporter=board)
            documents.append(evaluate(path, episodes=episodes, reporter=board))
            stage.outcome = score_words(documents[-1])
    return documents


def fitted_sequence(data: Dataset, runs: Path, board: Dashboard) -> Path:
    """The folder of the transformer that the planner searches."""
    from orl.runs.config_plan import model_config, resolve_plan
    from orl.runs.directory import load_run
    from orl.runs.model_supply import supply_model

    config, _ = resolve_plan(data.name, PLANNER, {})
    with board.stage(short(data.name), "transformer") as stage:
        path = supply_model(data, model_config(config, 0), runs, None, "transformer", board).path
        nats = load_run(path).record["result"]["holdout"]["cross_entropy"]["obs"]
        stage.outcome = f"{nats:.2f} nats an observation token"
    return path


def planned(data: Dataset, runs: Path, episodes: int, board: Dashboard) -> dict[str, Any]:
    """The evaluation of the planner."""
    from orl.runs.config_plan import resolve_plan
    from orl.runs.plan import default_plan_path, plan

    config, presets = resolve_plan(data.name, PLANNER, {})
    with board.stage(short(data.name), PLANNER) as stage:
        path, few = default_plan_path(runs, config), planned_episodes(episodes)
        document = plan(data, config, path, root=runs, episodes=few, presets=presets, reporter=board)
        stage.outcome = f"{score_words(document)}, {document['ms_per_action']['median']:.0f} ms an action"
    return document


def planned_episodes(episodes: int) -> int:
    """How many the planner plays, which takes its time for each action."""
    return min(episodes, PLANNED_EPISODES)


def reported(paths: list[Path], target: Path, board: Dashboard) -> Path | None:
    """The report of the runs, None where the extra that draws it is not installed."""
    from orl.errors import MissingError
    from orl.runs.report.write import write_report

    with board.stage("", REPORT) as stage:
        try:
            write_report(paths, target, reporter=board)
        except MissingError as error:
            stage.outcome = str(error)
            return None
        stage.outcome = str(target)
    return target


def score_words(document: dict[str, Any]) -> str:
    """'score 84.1, model says 90.2'."""
    row = row_of(document)
    said = f"{'score' if document['score']['normalised'] else 'return'} {row.true:.1f}"
    if row.blew_up:
        return f"{said}, runs away in the model"
    return said if row.model is None else f"{said}, model says {row.model:.1f}"


def described(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as plain values, with what each policy teaches."""
    behaviour, *policies = rows
    bc = next(row for row in policies if row.policy == "bc")
    lessons = [None, *(lesson(row, behaviour, bc) for row in policies)]
    return [row._asdict() | {"gap": row.gap, "lesson": told} for row, told in zip(rows, lessons, strict=True)]
