"""The proof of an export: its files are written, opened again by their own runtime, and asked held-out observations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from orl.deployment.description import memory_size
from orl.deployment.parity import LIMIT, UNCERTAINTY_LIMIT, Parity, compare
from orl.deployment.reference import FLAG, Deployed, make_answer, make_deployed, memory_of
from orl.errors import ParityError
from orl.runs.directory import versions
from orl.runs.export.formats import Answers, Runner, answers, known_format, latency, recorded, write_files
from orl.runs.export.subject import Familiarity, Subject, description_of
from orl.runs.reporter import Reporter
from orl.types import Spec, Transition


class Questions(NamedTuple):
    """What a file is asked: held-out `rows`, and `strange` observations [N, O] that the log knows nothing of."""

    rows: Transition
    strange: NDArray[np.float32]


def proven(
    folder: Path,
    format: str,
    subject: Subject,
    known: Familiarity,
    questions: Questions,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the files, have them answer the held-out rows, and time them: their part of the document.

    Raises:
        ParityError: they do not answer as the policy does.
    """
    spec, familiar, form, rows = subject.spec, known.familiar, known_format(format), questions.rows
    count = len(rows.reward)
    answer = make_answer(subject.act, subject.params, spec, familiar)
    reporter.message(f"writing the {format} file and asking it about {count:,} held-out observations")
    description = description_of(subject, familiar)
    write_files(form, folder, description, make_deployed(answer, spec), versions()["orl"])
    runtime, inputs = form.read(folder), inputs_of(rows, spec)
    found = answers(runtime.run, inputs)
    parity = compare(in_jax(answer, rows), found, spec, familiar.threshold if familiar else 0.0)
    if not parity.holds:
        raise ParityError(_refusal(format, parity))
    return {
        "check": parity._asdict() | {"rows": count, "limit": LIMIT, "uncertainty_limit": UNCERTAINTY_LIMIT},
        "flagged": _flagged(found[FLAG][:count], runtime.run, questions.strange, spec) if familiar else None,
        "latency_ms": latency(runtime.run, inputs),
        "runtime": runtime.versions | runtime.settings,
        "files": recorded(folder, form.files),
    }


def _flagged(held_out: NDArray[np.bool_], run: Runner, strange: NDArray[np.float32], spec: Spec) -> dict[str, float]:
    """Shares of held-out observations, and of strange ones [N, O] at the beginning of an episode, that are flagged."""
    begin = (np.zeros((len(strange), memory_size(spec)), np.float32),) if spec.history else ()
    flags = answers(run, (strange, *begin))[FLAG]
    return {"held_out": float(np.mean(held_out)), "strange": float(np.mean(flags[: len(strange)]))}


def inputs_of(rows: Transition, spec: Spec) -> tuple[NDArray[np.float32], ...]:
    """The rows as a file is given them: obs [N, O], and with a history memory [N, M]."""
    obs = np.asarray(rows.obs)[:, : spec.obs_dim]
    return (obs, np.asarray(memory_of(rows.obs, spec))) if spec.history else (obs,)


def in_jax(answer: Deployed, rows: Transition) -> Answers:
    """What the policy itself answers, in full float32: what accelerators leave out of it is not the file's error."""
    compiled = jax.jit(answer)

    def run(stacked: NDArray[np.float32]) -> Answers:
        return {name: np.asarray(array) for name, array in compiled(stacked).items()}

    with jax.default_matmul_precision("highest"):
        return answers(run, (np.asarray(rows.obs),))


def _refusal(format: str, parity: Parity) -> str:
    return (
        f"the {format} file does not answer as the policy does: actions differ by up to {parity.action:.2g} of their"
        f" range ({LIMIT:g} is allowed), remembered ones by {parity.memory:.2g}, uncertainties by"
        f" {parity.uncertainty:.2g} ({UNCERTAINTY_LIMIT:g}); nothing was written. Where a policy's network is very"
        " steep, float32 rounding alone does this"
    )
