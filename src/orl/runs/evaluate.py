"""`orl evaluate`: how good policies are in the environment, beside the behaviour and the model's opinion."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Reference
from orl.data.history import first_stack
from orl.errors import DataError, MissingError, UsageError
from orl.evaluation.episodes import EnvSpec, make_envs, run_episodes
from orl.evaluation.recorded_env import recorded_env
from orl.evaluation.statistics import Summary, summarise
from orl.files import sweep
from orl.locking import locked
from orl.mdp.rollout import model_returns
from orl.mdp.step import make_step
from orl.runs.directory import SCHEMA, RunDirectory, load_run, versions, write_json
from orl.runs.fit_model import load_model
from orl.runs.policy import KIND, Policy, rebuild, run_spec, stacked_params
from orl.runs.reporter import Reporter
from orl.types import ActFn, Params


class Played(NamedTuple):
    """Episodes of every seed: returns, lengths and true ends [S, M], and the start states [M, O], the same for all."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    initial_obs: NDArray[np.float32]


def evaluate(
    path: Path,
    *,
    episodes: int = 20,
    seed: int = 0,
    env: EnvSpec | None = None,
    trust_env: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Run every seed of a policy run in its environment; write `eval/*.json` and return the same document.

    The policies at the end of training give `returns` and `score`; `best_score` belongs to each seed's best checkpoint
    by the evaluations during training, i.e. it was chosen with the simulator's help.

    Episode i starts from reset seed `seed + i`, for every policy and every call, so runs are compared on the same
    start states. The model's opinion (`model_value`) is taken from those start states too.

    `trust_env` makes the data's environment as recorded even where that runs code which the data name.

    Raises:
        DataError: not a policy run, without a checkpoint, or of data whose environment is refused (`recorded_env`).
        UsageError: no environment is known for the data, the run folder cannot be written to, or another process is at
        this very evaluation.
        MissingError: the simulator is not installed.
    """
    reporter = reporter or Reporter()
    began = time.perf_counter()
    run = load_run(path, KIND)
    env = env or environment_of(run, trust_env)
    if env is None:
        raise UsageError(f"{run.record['dataset']['name']} names no environment; give one with --env ID")
    if not run.finished:
        reporter.message(f"note: {path} is {run.record['status']}, not finished; its newest checkpoint is evaluated")
    logged_in = run.record["dataset"]["env_id"]
    if logged_in and env.env_id != logged_in:
        reporter.message(f"note: the data is from {logged_in}; references may not apply to {env.env_id}")
    name = f"{env.env_id}-{episodes}x{seed}".replace("/", "-")
    with locked(path / "eval", f".{name}.lock"):
        sweep(path / "eval")
        document = _evaluation(run, episodes, seed, env, reporter) | {"seconds": time.perf_counter() - began}
        write_json(path / "eval" / f"{name}.json", document)
    return document


def _evaluation(run: RunDirectory, episodes: int, seed: int, env: EnvSpec, reporter: Reporter) -> dict[str, Any]:
    """The document of `evaluate`, but for its seconds."""
    path, reference = run.path, reference_of(run)
    algorithm, config = rebuild(run)
    stacked, best = stacked_params(run, "last"), stacked_params(run, "best")
    reporter.message(f"evaluating {path}: {len(config.seeds)} seeds x {episodes} episodes in {env.env_id}")
    played = play(run, algorithm.act, stacked, episodes, seed, env)
    best_returns = played.returns
    if not _same(stacked, best):
        best_returns = play(run, algorithm.act, best, episodes, seed, env).returns
    return {
        "schema": SCHEMA,
        "run": str(path),
        "kind": "evaluation",
        "algorithm": config.algorithm,
        "status": run.record["status"],
        "environment": env.env_id,
        "episodes": episodes,
        "evaluation_seed": seed,
        "seeds": list(config.seeds),
        "returns": played.returns.tolist(),
        "lengths": played.lengths.tolist(),
        "terminated": played.terminated.tolist(),
        "score": score_document(summarise(played.returns, reference), reference),
        "best_score": score_document(summarise(best_returns, reference), reference),
        "reference": run.record["dataset"]["reference"],
        "behaviour": behaviour_of(run),
        "model_value": model_value(run, algorithm.act, stacked, played, env, reference),
        "versions": versions(),
    }


def play(
    run: RunDirectory, act: ActFn, stacked: Params, episodes: int, seed: int, env: EnvSpec | None = None
) -> Played:
    """`episodes` episodes of each seed's policy, each from the same start states.

    Raises:
        UsageError: no environment is named, neither here nor by the data.
    """
    env = env or environment_of(run)
    if env is None:
        raise UsageError("there is no environment to play in")
    spec, fields = run_spec(run), obs_fields_of(run)
    policy = Policy(act, jax.tree.map(lambda x: x[0], stacked), spec)
    results = []
    for index in range(len(run.record["seeds"])):
        policy.use(jax.tree.map(partial(_pick, index), stacked))
        results.append(run_episodes(policy, env, episodes=episodes, seed=seed, spec=spec, obs_fields=fields))
    return Played(
        np.stack([result.returns for result in results]),
        np.stack([result.lengths for result in results]),
        np.stack([result.terminated for result in results]),
        results[0].initial_obs,
    )


def _same(one: Params, other: Params) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


def _pick(index: int, leaf: jax.Array) -> jax.Array:
    return leaf[index]


def model_value(
    run: RunDirectory, act: ActFn, stacked: Params, played: Played, env: EnvSpec, reference: Reference | None
) -> dict[str, Any] | None:
    """What the bare model says the policies return from the same start states, undiscounted, over as many steps.

    Its excess over the true return is exploitation of the model's errors. None for runs without a model.
    """
    if not (run.path / "model" / "run.json").exists():
        return None
    model = load_model(run.path / "model")
    horizon = env.max_episode_steps or time_limit(env.env_id) or int(played.lengths.max())
    step = make_step(model.ensemble, model.termination)

    @jax.jit
    def value(policy: Params, params: Params, start: jax.Array) -> jax.Array:
        mode: ActFn = lambda p, key, obs: act(p, None, obs)  # noqa: E731
        return model_returns(step, mode, params, policy, jax.random.key(0), start, horizon)

    spec = run_spec(run)
    start = first_stack(jnp.asarray(played.initial_obs), spec.history, spec.action_dim)
    seeds = range(played.returns.shape[0])
    returns = np.stack(
        [np.asarray(value(jax.tree.map(partial(_pick, i), stacked), model.params, start)) for i in seeds]
    )
    if not np.isfinite(returns).all():
        return {
            "mean_return": None,
            "score": None,
            "gap": None,
            "per_seed": None,
            "horizon": horizon,
            "note": "the model's rollouts blew up",
        }
    truth, opinion = float(played.returns.mean()), float(returns.mean())
    scored = reference.score if reference else float
    return {
        "mean_return": opinion,
        "score": float(scored(opinion)),
        "gap": float(scored(opinion) - scored(truth)),
        "per_seed": [float(scored(r)) for r in returns.mean(axis=1)],
        "horizon": horizon,
    }


def time_limit(env_id: str) -> int | None:
    """The registered time limit of an environment: the model may promise for as long as the truth may last."""
    import gymnasium

    return gymnasium.registry[env_id].max_episode_steps if env_id in gymnasium.registry else None


def score_document(summary: Summary, reference: Reference | None) -> dict[str, Any]:
    """The `score` entry: normalised where there is a reference, else returns."""
    return {
        "mean": summary.mean,
        "iqm": summary.iqm,
        "ci95": list(summary.ci95) if summary.ci95 else None,
        "ci_over": summary.ci_over,
        "per_seed": list(summary.per_seed),
        "normalised": reference is not None,
    }


def environment_of(run: RunDirectory, trusted: bool = False) -> EnvSpec | None:
    """The environment a run's data was recorded in, if the data names one; see `recorded_env`."""
    return recorded_env(run.record["dataset"], trusted)


def usable_environment(run: RunDirectory, reporter: Reporter, trusted: bool = False) -> EnvSpec | None:
    """As `environment_of`, but None (and a message) where it is refused or missing: training goes on without it."""
    try:
        env = environment_of(run, trusted)
        if env is None:
            return None
        make_envs(env, 1, spec=run_spec(run), obs_fields=obs_fields_of(run)).close()
    except (MissingError, UsageError, DataError) as error:
        reporter.message(f"training without evaluation: {error}")
        return None
    return env


def reference_of(run: RunDirectory) -> Reference | None:
    """The reference scores that came with the data."""
    reference = run.record["dataset"]["reference"]
    return Reference(**reference) if reference else None


def behaviour_of(run: RunDirectory) -> dict[str, Any]:
    """Mean and best return of the logged episodes, and their scores."""
    data, reference = run.record["dataset"], reference_of(run)
    mean, best = data["mean_return"], data["best_return"]
    return {
        "mean": mean,
        "best": best,
        "score": None if reference is None else float(reference.score(mean)),
        "best_score": None if reference is None else float(reference.score(best)),
        "episodes": data["episodes"],
    }


def obs_fields_of(run: RunDirectory) -> tuple[tuple[str, int], ...]:
    """The order in which nested observations are flattened."""
    return tuple((key, size) for key, size in run.record["dataset"]["obs_fields"])
