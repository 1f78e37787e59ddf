"""`orl plan`: act by planning under a learned model, and say what it was worth."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orl.config import Preset, as_tree, build
from orl.data.episodes import Dataset
from orl.errors import DataError, Interrupted, UsageError
from orl.evaluation.episodes import MAX_PARALLEL, EnvSpec, run_episodes
from orl.evaluation.recorded_env import recorded_env
from orl.evaluation.statistics import summarise
from orl.files import sweep
from orl.planning import PLANNERS
from orl.runs.claim import claimed
from orl.runs.config_plan import PlanRunConfig, model_config, resolve_plan
from orl.runs.directory import (
    SCHEMA,
    RunDirectory,
    check_folder,
    find_runs,
    load_run,
    open_run,
    read_json,
    settings_of,
    slug,
    versions,
    write_json,
)
from orl.runs.evaluate import behaviour_of, obs_fields_of, reference_of, score_document, time_limit
from orl.runs.interrupt import stop_requested
from orl.runs.model_supply import keep_model, keep_run, model_identity, refuse_other_history, supply_model
from orl.runs.planner import KIND, keep_value, planner_of, uses_value
from orl.runs.policy import run_spec
from orl.runs.record import config_digest, dataset_identity, recorded_environment, run_details
from orl.runs.reporter import Reporter
from orl.runs.watched import Watched
from orl.runs.yardstick import bc_on


def default_plan_path(root: Path, config: PlanRunConfig) -> Path:
    """Where a plan goes unless told otherwise: dataset, planner, seeds; a digest where settings are not the usual."""
    span = "_".join(map(str, config.seeds))
    if len(config.seeds) > 1 and list(config.seeds) == list(range(config.seeds[0], config.seeds[-1] + 1)):
        span = f"{config.seeds[0]}-{config.seeds[-1]}"
    name = f"plan-{config.planner}-s{span}"
    usual, _ = resolve_plan(config.dataset, config.planner, {"seeds": list(config.seeds)})
    if as_tree(usual) != as_tree(config):
        name += f"-{config_digest(config, config.dataset)}"
    return root / slug(config.dataset) / name


def plan(
    dataset: Dataset,
    config: PlanRunConfig,
    path: Path,
    *,
    root: Path = Path("runs"),
    model: str | Path | None = None,
    episodes: int = 20,
    seed: int = 0,
    env: EnvSpec | None = None,
    trust_env: bool = False,
    presets: list[Preset] | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Play `episodes` episodes per model seed, episode i from reset seed `seed` + i; return the JSON document.

    The run folder keeps the models, so that `load_planner` needs nothing else; finished seeds are kept when a run is
    stopped, and the same call goes on after them.

    `trust_env` makes the data's environment as recorded even where that runs code which the data name.

    Raises:
        UsageError: the folder holds another run, is in use or cannot be written to, or no environment is known.
        DataError: the model is of other data, or the data's environment is refused (`recorded_env`).
        Interrupted: SIGINT or SIGTERM came.
    """
    reporter = reporter or Reporter()
    config = with_model_of(model, config)
    check_folder(path, KIND, config, dataset_identity(dataset), force=force)  # before a model is fitted in vain
    env = env or recorded_env(recorded_environment(dataset), trust_env)
    if env is None:
        raise UsageError(f"{dataset.name} names no environment; give one with --env ID, or plan once with --obs")
    with claimed(path):
        run = prepare_plan(
            dataset, config, path, root=root, model=model, presets=presets, force=force, reporter=reporter
        )
        began = time.perf_counter()
        parts = [_play_seed(run, config, each, env, episodes, seed, reporter) for each in config.seeds]
        document = _document(run, config, env, episodes, seed, parts) | {"seconds": time.perf_counter() - began}
        write_json(run.path / "eval" / f"{_name(env, episodes, seed)}.json", document)
        run.update(status="finished", result={"planner": config.planner, "score": document["score"]})
    return document


def prepare_plan(
    dataset: Dataset,
    config: PlanRunConfig,
    path: Path,
    *,
    root: Path,
    model: str | Path | None,
    presets: list[Preset] | None,
    force: bool,
    reporter: Reporter,
) -> RunDirectory:
    """The run folder with everything that planning needs: models, and where asked for the cloned prior and a value."""
    kind = PLANNERS[config.planner].model
    fitted = [supply_model(dataset, model_config(config, seed), root, model, kind, reporter) for seed in config.seeds]
    identity = dataset_identity(dataset) | {"models": [model_identity(each) for each in fitted]}
    details = run_details(dataset, presets or []) | {"seeds": list(config.seeds), "planner": config.planner}
    run = open_run(path, KIND, config, identity, details, force=force)
    for folder in ("models", "eval", "plans"):
        (run.path / folder).mkdir(exist_ok=True)
        sweep(run.path / folder)
    for seed, each in zip(config.seeds, fitted, strict=True):
        keep_model(each, run.path / "models" / f"s{seed}")
    if kind == "ensemble" and config.plan.prior == "bc":
        prior = bc_on(dataset.fingerprint, dataset.name, root, reporter, config.history)
        keep_run(prior, run.path / "prior")
    if kind == "ensemble" and uses_value(config):
        keep_value(dataset, config, run.path / "value")
    return run


def with_model_of(model: str | Path | None, config: PlanRunConfig) -> PlanRunConfig:
    """The settings with those of the model that is named.

    Raises:
        UsageError: several seeds, or another history than the model's. DataError: no such model.
    """
    if model is None:
        return config
    run = load_run(Path(model), PLANNERS[config.planner].model)
    if len(config.seeds) > 1:
        raise UsageError("--model names one model; leave --seeds out")
    fitted = settings_of(run.path, partial(build, type(model_config(config, 0))))
    if config.history:
        refuse_other_history(model, config.history)
    return replace(config, model=fitted.model, seeds=(fitted.seed,), history=run.history)


def _play_seed(
    run: RunDirectory,
    config: PlanRunConfig,
    model_seed: int,
    env: EnvSpec,
    episodes: int,
    seed: int,
    reporter: Reporter,
) -> dict[str, Any]:
    """Episodes of one model's planner, as plain values; read again where they were played before."""
    name = f"{_name(env, episodes, seed)}-s{model_seed}"
    path = run.path / "eval" / f".{name}.json"
    if path.exists():
        return read_json(path)
    planner = planner_of(run, model_seed)
    limit = env.max_episode_steps or time_limit(env.env_id) or 0
    reporter.start(f"{config.planner} in {env.env_id}, model {model_seed}", limit, "steps")
    with stop_requested() as stopping:
        watched = Watched(planner, reporter, stopping, limit)
        try:
            played = run_episodes(
                watched, env, episodes=episodes, seed=seed, spec=run_spec(run), obs_fields=obs_fields_of(run)
            )
        except Interrupted:
            run.update(status="interrupted")
            raise
    reporter.finish()
    slots = -(-episodes // -(-episodes // MAX_PARALLEL))  # as `run_episodes` plays them
    watched.write(run.path / "plans" / f"{name}.jsonl")
    part = {
        "returns": played.returns.tolist(),
        "lengths": played.lengths.tolist(),
        "terminated": played.terminated.tolist(),
        "ms": [1e3 * each / slots for each in planner.seconds[1:] or planner.seconds],
    }
    write_json(path, part)
    return part


def _document(
    run: RunDirectory, config: PlanRunConfig, env: EnvSpec, episodes: int, seed: int, parts: list[dict[str, Any]]
) -> dict[str, Any]:
    reference = reference_of(run)
    score = score_document(summarise(np.asarray([part["returns"] for part in parts]), reference), reference)
    ms = np.concatenate([part["ms"] for part in parts])
    return {
        "schema": SCHEMA,
        "run": str(run.path),
        "kind": "evaluation",
        "algorithm": config.planner,
        "planner": config.planner,
        "status": "finished",
        "environment": env.env_id,
        "episodes": episodes,
        "evaluation_seed": seed,
        "seeds": list(config.seeds),
        **{key: [part[key] for part in parts] for key in ("returns", "lengths", "terminated")},
        "score": score,
        "best_score": score,
        "reference": run.record["dataset"]["reference"],
        "behaviour": behaviour_of(run),
        "model_value": None,
        "ms_per_action": {"median": float(np.median(ms)), "p95": float(np.quantile(ms, 0.95))},
        "versions": versions(),
    }


def finished_evaluations(root: Path, fingerprint: str, env_id: str, but: Path) -> list[dict[str, Any]]:
    """The newest evaluation in `env_id` of every policy and plan on this data below `root`, but the run at `but`."""
    found = []
    for run in find_runs(root):
        if run.path.resolve() == but.resolve() or run.record.get("fingerprint") != fingerprint:
            continue
        files = sorted((run.path / "eval").glob("[!.]*.json"), key=lambda path: path.stat().st_mtime)
        try:
            documents = [read_json(file) for file in files]
        except DataError:
            continue
        matching = [each for each in documents if each.get("environment") == env_id]
        found += matching[-1:]
    return found


def _name(env: EnvSpec, episodes: int, seed: int) -> str:
    return f"{env.env_id}-{episodes}x{seed}".replace("/", "-")
