"""Does the offline choice rank policies as the simulator does? `python -m orl_bench.ranking --out FOLDER`

For each dataset of STUDY a declared set of candidates of differing quality is trained and judged by `orl tune`, which
sees no simulator; then every candidate plays in the simulator, and both orders are compared. What is finished is kept
in the folder, and the same command goes on.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orl.config import presets_folder
from orl.data.catalog import load
from orl.errors import OrlError
from orl.evaluation.diagnosis.ranks import rank_correlation
from orl.runs.candidate_file import read_candidates
from orl.runs.directory import SCHEMA, read_json, slug, versions, write_json
from orl.runs.evaluate import evaluate
from orl.runs.reporter import Reporter
from orl.runs.select import select
from orl.runs.tune import tune
from orl_cli.console import reporter_for

STUDY = {
    "orl/pendulum/mixed-v0": "ranking-pendulum.toml",
    "orl/pendulum/narrow-v0": "ranking-pendulum.toml",
    "sac/hopper/medium-replay-v0": "ranking-mujoco.toml",
    "sac/halfcheetah/medium-replay-v0": "ranking-mujoco.toml",
}
# No part of the study unless named: logs that had no say in how the choice is made.
HELD_BACK = {
    "sac/hopper/medium-v0": "ranking-mujoco.toml",
    "sac/hopper/medium-expert-v0": "ranking-mujoco.toml",
}
ENOUGH_SECONDS = 24 * 3600.0  # the candidates' updates are part of the study: no budget may shorten them


def study(dataset: str, folder: Path, episodes: int, reporter: Reporter) -> dict[str, Any]:
    """Train, choose offline, then play; the document of one dataset."""
    candidates = read_candidates(presets_folder() / "tune" / (STUDY | HELD_BACK)[dataset])
    tuned = folder / slug(dataset)
    done = tune(load(dataset, reporter.message), candidates, tuned, seconds=ENOUGH_SECONDS, reporter=reporter)
    # estimates are kept, so this is quick; a finished tune holds the choice as it was made then
    trained = [tuned / each["run"] for each in done["candidates"] if each["status"] == "finished"]
    selection = select(trained, settings=candidates.ope, root=tuned, out=tuned, reporter=reporter)
    lines = [line for line in selection["ranking"] if line["run"] is not None]
    truth = {line["run"]: _played(Path(line["run"]), episodes, reporter) for line in lines}
    behaviour = next(iter(truth.values()))["behaviour"]["score"]
    true = {run: each["score"]["mean"] for run, each in truth.items()}
    return {"dataset": dataset, "episodes": episodes} | _below(folder, compare(selection, true, behaviour))


def compare(selection: Mapping[str, Any], true: Mapping[str, float], behaviour: float) -> dict[str, Any]:
    """What the offline order is worth.

    Args:
        selection: of `orl select`. true: mean normalised score in the simulator by run. behaviour: the log's own.

    Returns:
        `rank_correlation` (Spearman) of the selection score with the true one, over all candidates. `regret`: true
        score of the best candidate less that of what was selected (of the behaviour, where nothing was), at least 0.
        `regret_of_first`: the same for the candidate ranked first, whether or not it was certain enough to be selected.
        `certified`: how many candidates are better than the behaviour for certain, `certified_wrongly`: of those, how
        many have no higher true score.
    """
    lines = [line for line in selection["ranking"] if line["run"] is not None]
    scores = [-math.inf if line["score"] is None else line["score"] for line in lines]
    truth = [true[line["run"]] for line in lines]
    certified = [true[line["run"]] for line in lines if (line["improvement"] or 0.0) > 0.0]
    chosen = behaviour if selection["selected"] is None else true[selection["selected"]["run"]]
    return {
        "candidates": [dict(line) | {"true_score": score} for line, score in zip(lines, truth, strict=True)],
        "behaviour_true_score": behaviour,
        "selected": selection["selected"],
        "rank_correlation": rank_correlation(scores, truth),
        "regret": max(max(truth) - chosen, 0.0),
        "regret_of_first": max(truth) - truth[0],
        "certified": len(certified),
        "certified_wrongly": sum(score <= behaviour for score in certified),
    }


def summary(studies: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Over all datasets: mean and least rank correlation, mean and largest regret."""
    correlation = [each["rank_correlation"] for each in studies]
    regret = [each["regret"] for each in studies]
    return {
        "mean_rank_correlation": float(np.mean(correlation)),
        "least_rank_correlation": float(np.min(correlation)),
        "mean_regret": float(np.mean(regret)),
        "largest_regret": float(np.max(regret)),
        "certified": sum(each["certified"] for each in studies),
        "certified_wrongly": sum(each["certified_wrongly"] for each in studies),
    }


def _below(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """The same, with runs named from the study's folder on: the document is kept where there are no candidates."""
    for line in [*found["candidates"], found["selected"]]:
        if line is not None:
            line["run"] = line["run"].removeprefix(f"{folder}/")
    return found


def _played(run: Path, episodes: int, reporter: Reporter) -> dict[str, Any]:
    """The candidate's evaluation in the simulator, played once and kept in its folder."""
    for kept in sorted((run / "eval").glob(f"*-{episodes}x0.json")):
        return read_json(kept)
    return evaluate(run, episodes=episodes, reporter=reporter)


def _show(document: Mapping[str, Any]) -> None:
    for each in document["studies"]:
        figures = f"rank correlation {each['rank_correlation']:.2f}, regret {each['regret']:.1f}"
        print(f"\n{each['dataset']}: {figures}, certified {each['certified']}, wrongly {each['certified_wrongly']}")
        for line in each["candidates"]:
            score, better = ("-" if line[key] is None else f"{line[key]:.1f}" for key in ("score", "improvement"))
            found = f"score {score:>8}  better by {better:>8}  true {line['true_score']:7.1f}"
            print(f"  {line['label']:<16} {found}  {line['verdict']}")
        chosen = "nothing" if each["selected"] is None else each["selected"]["label"]
        print(f"  {'behaviour':<16} {'':35}  true {each['behaviour_true_score']:7.1f}  selected: {chosen}")
    print("\n" + ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in document["summary"].items()))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m orl_bench.ranking", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the candidates and of ranking.json")
    parser.add_argument("--dataset", action="append", choices=[*STUDY, *HELD_BACK], help="only this one (repeatable)")
    parser.add_argument("--episodes", type=int, default=20, help="of each candidate in the simulator")
    options = parser.parse_args()
    reporter = reporter_for(quiet=False)
    try:
        studies = [study(each, options.out, options.episodes, reporter) for each in options.dataset or STUDY]
    except OrlError as error:
        print(f"ranking: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    document = {"schema": SCHEMA, "kind": "ranking", "studies": studies, "summary": summary(studies)}
    write_json(options.out / "ranking.json", document | {"versions": versions()})
    _show(document)


if __name__ == "__main__":
    main()
