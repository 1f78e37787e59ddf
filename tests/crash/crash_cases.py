"""The commands that are killed, on networks so small that all of them take seconds."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tiny_settings import TINY_AGENT, TINY_BEAM, TINY_MODEL, TINY_ROLLOUT, TINY_SEQUENCE, settings

DATASET = "tiny/pendulum-v0"
ALGORITHMS = ("bc", "cql", "rebrac", "mbpo", "mopo", "morel", "combo", "mobile", "mobrac")
MODEL_FREE = ("bc", "cql", "rebrac")

TRAIN = [*TINY_AGENT, "train.checkpoint_every=2", "train.eval_every=2"]
EPOCH_STEPS = 10  # of TINY_AGENT

CANDIDATES = """
[shared]
history = 0
model = { hidden = [8], weight_decay = [0, 0], members = 3, elites = 2, max_epochs = 2 }
agent = { hidden = [8], batch_size = 16, rollout_batch = 16, rollout_length = 2, real_ratio = 0.5 }
train = { epoch_steps = 10, checkpoint_every = 1 }

[ope]
model_starts = 4
model_horizon = 3
fqe = { hidden = [8], members = 2, updates = 20, batch_size = 16 }

[[candidate]]
name = "clone"
algo = "bc"
steps = 30

[[candidate]]
name = "short"
algo = "mopo"
steps = 20
init = "clone"
penalty = "calibrated"
share = 0.8
"""


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        name, command: of the case, and under which of the issue's commands it is counted.
        words: as typed, in a folder of its own. prepare: commands before it, which are not killed.
        files: writes what else it reads into that folder.
        interval: of a run in `run`, rows of metrics (by `step`) between two checkpoints; None where there are none.
        there: what the same command says instead of a result where the killed one had got to the end.
        datasets: where datasets are, within its folder; None: the log that the others learn from.
    """

    name: str
    command: str
    words: list[str]
    prepare: tuple[tuple[str, ...], ...] = ()
    files: Callable[[Path], None] | None = None
    interval: int | None = None
    there: str | None = None
    datasets: str | None = None


def cases() -> list[Case]:
    """Every case, in the order in which they are run."""
    data, out, runs = ["-d", DATASET], ["--out", "run", "--json", "--quiet"], ["--runs", "runs"]
    fit = ["fit-model", *data, *out, *settings(TINY_MODEL, ["model.max_epochs=30", "model.patience=1000"])]
    sequence = ["fit-model", "-k", "transformer", *data, *out, *settings(TINY_SEQUENCE, ["model.steps=60"])]
    model = ("fit-model", *data, *runs, "--quiet", *settings(TINY_MODEL))
    tokens = ("fit-model", "-k", "transformer", *data, *runs, "--quiet", *settings(TINY_SEQUENCE))
    found = [
        Case("fit-model ensemble", "fit-model", fit, interval=10),
        Case("fit-model transformer", "fit-model", sequence, interval=1),
    ]
    for algorithm in ALGORITHMS:
        free = algorithm in MODEL_FREE
        tiny = settings(TRAIN) if free else settings(TINY_MODEL, TRAIN, TINY_ROLLOUT)
        words = ["train-policy", "-a", algorithm, *data, *out, *runs, "--steps", "60", *tiny]
        prepare = () if free else (model,)
        found.append(Case(f"train-policy {algorithm}", "train-policy", words, prepare, interval=2 * EPOCH_STEPS))
    calibrated = [*found[ALGORITHMS.index("mopo") + 2].words, "--penalty", "calibrated"]
    found.append(Case("train-policy calibrated", "train-policy", calibrated, (model,), interval=2 * EPOCH_STEPS))
    clone = ("train-policy", "-a", "bc", *data, *runs, "--steps", "20", "--seeds", "0:2", "--quiet", *settings(TRAIN))
    beam = settings(TINY_SEQUENCE, TINY_BEAM, ["plan.plan_freq=2"])
    mppi = settings(
        TINY_MODEL,
        ["plan.samples=8", "plan.horizon=3", "plan.prior=bc", "plan.plan_freq=3", "plan.terminal_value=behaviour"],
    )
    played = ["--episodes", "2", "--no-bc", *out, *runs]
    evaluate = ["evaluate", "run", "--episodes", "2", "--no-bc", "--json", "--quiet"]
    export = ["export", "run", "-f", "numpy", "-o", "policy", "--quantile", "0.9", "--json", "--quiet"]
    ready, again = (*clone, "--out", "run"), [*IMPORT, "--force"]
    return [
        *found,
        Case("plan beam", "plan", ["plan", *data, "-p", "beam", *played, *beam], (tokens,)),
        Case("plan mppi", "plan", ["plan", *data, "-p", "mppi", *played, *mppi], (model, clone)),
        Case("evaluate", "evaluate", evaluate, (ready,)),
        Case("export", "export", export, (ready,), there="holds an export already"),
        Case("data import", "data import", IMPORT, files=write_table, there="is already in", datasets="minari"),
        Case("data import --force", "data import", again, (tuple(IMPORT),), write_table, datasets="minari"),
        Case("tune", "tune", ["tune", *data, "-c", "candidates.toml", "-b", "24h", *out], files=write_candidates),
    ]


IMPORT = ["data", "import", "log.csv", "--id", "plant/pump-v0", "--episode", "run", "--obs", "s_1,s_2", "--action"]
IMPORT += ["u", "--reward", "r", "--action-low", "-1", "--action-high", "1", "--json", "--quiet"]


def write_candidates(folder: Path) -> None:
    """Two candidates, one of which begins as the other and is calibrated: whatever a tune goes through."""
    (folder / "candidates.toml").write_text(CANDIDATES)


def write_table(folder: Path) -> None:
    """A table of 200 episodes of 20 steps."""
    rng = np.random.default_rng(0)
    with (folder / "log.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["run", "s_1", "s_2", "u", "r"])
        table.writerows(rows_of(rng, 200))


def rows_of(rng: np.random.Generator, episodes: int) -> Iterable[list[float]]:
    """Rows of uniform numbers."""
    for episode in range(episodes):
        for row in rng.uniform(-1, 1, (20, 4)):
            yield [episode, *row.round(6).tolist()]
