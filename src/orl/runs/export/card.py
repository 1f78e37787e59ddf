"""The model card: what a policy's file is, what it takes and gives, what was found out about it, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orl.runs.export.interface import inputs, outputs, usage
from orl.runs.export.markdown import code, number, table

Document = Mapping[str, Any]


def model_card(document: Document) -> str:
    """The card of an export, in Markdown, from its document alone."""
    parts = (_head, _made, _judged, inputs, outputs, usage, _flag, _proof, _limits, _files)
    return "\n\n".join(part(document) for part in parts) + "\n"


def _head(document: Document) -> str:
    sizes = f"{document['obs_dim']} numbers observed, {document['action_dim']} acted on"
    past = f", with a memory of {document['history']} earlier steps" if document["history"] else ""
    return (
        f"# Policy: {document['algorithm']} on {code(document['dataset']['name'])}\n\n"
        f"A deterministic controller in {document['format']} form: {sizes}{past}. The file holds everything between an"
        " observation as it was logged and an action as it is played."
    )


def _made(document: Document) -> str:
    data, when = document["dataset"], "at the end of the training"
    if not document["at_the_end"]:
        when = "the best by evaluations during the training, so chosen with a simulator's help"
    status = "" if document["status"] == "finished" else f"; the run is {code(document['status'])}, not finished"
    rows = [
        ["run", code(document["run"])],
        ["algorithm", f"{document['algorithm']}, {document['steps']:,} updates, seed {document['seed']}"],
        ["checkpoint", f"{document['checkpoint']}: {when}{status}"],
        ["network", f"{document['parameters']:,} numbers, normaliser included"],
        ["data", f"{code(data['name'])}: {data['steps']:,} steps in {data['episodes']:,} episodes"],
        ["fingerprint of the data", f"SHA-256 {code(data['fingerprint'])}"],
        ["returns of the data's episodes", f"mean {number(data['mean_return'])}, best {number(data['best_return'])}"],
        [
            "held out of the training",
            f"{data['held_out_episodes']:,} episodes, of which {data['held_out_rows']:,} steps",
        ],
    ]
    return "## How it was made\n\n" + table(["", ""], rows)


def _judged(document: Document) -> str:
    judged, lines = document["judged"], []
    if judged["log"] is not None:
        log = judged["log"]
        value, better = (_interval(log[name]) for name in ("value", "improvement"))
        lines.append(
            f"- By the log alone (`orl ope`): {log['verdict']}. {log['reason']} Discounted return ({log['discount']:g})"
            f" by fitted Q evaluation {value}, the behaviour's {number(log['behaviour'])}; over behaviour {better}."
        )
    for each in judged["simulator"]:
        unit = "score" if each["normalised"] else "return"
        lines.append(
            f"- In {code(each['environment'])}: {unit} {number(each['score'])} over {each['episodes']} episodes"
            f" ({each['by']})."
        )
    if not lines:
        lines.append(
            "Nobody has judged it: neither `orl train-policy` nor `orl evaluate` played it, and `orl ope` left"
            " nothing in the run folder."
        )
    elif not document["at_the_end"]:
        lines.append("\nThese are judgements of the policy at the end of the training, **not of this checkpoint**.")
    return "## What is known of its worth\n\n" + "\n".join(lines)


def _flag(document: Document) -> str:
    flag = document["flag"]
    if flag["missing"] is not None:
        return f"## Out of distribution\n\n**There is no flag in this file**: {flag['missing']}."
    return (
        "## Out of distribution\n\n"
        f"`uncertainty` is the greatest distance between what two of the {flag['members']} members of the model in"
        f" {code(flag['model'])} predict for the next observation under the policy's own action, in spreads of the"
        f" training data, times {number(flag['factor'])}. With this factor it was at least the model's error on"
        f" {flag['covered']:.0%} of the {flag['rows']:,} logged steps held out of its fit.\n\n"
        f"`out_of_distribution` is true where it exceeds **{number(flag['threshold'])}**, or is no number: the"
        f" {flag['quantile']:g} quantile (split-conformal) over the same steps. With the"
        f" policy's own actions {document['flagged']['held_out']:.2%} of the held-out observations are flagged; of as"
        " many drawn uniformly from a box twice as wide as the log's in every dimension"
        f" {document['flagged']['strange']:.0%}.\n\n"
        "A flagged action is one whose consequences the data do not show: fall back to what ran before. An action that"
        " is not flagged is not thereby good."
    )


def _proof(document: Document) -> str:
    check, time = document["check"], document["latency_ms"]
    lines = [
        f"- Held-out observations asked: {check['rows']:,}. Largest difference from the policy in JAX:"
        f" {check['action']:.2g} of the action's range; {check['limit']:g} would have been refused.",
    ]
    if document["history"]:
        lines.append(f"- Largest difference of a remembered action: {check['memory']:.2g} of its range.")
    if document["flag"]["missing"] is None:
        lines.append(f"- Largest relative difference of uncertainties: {check['uncertainty']:.2g};"
                     f" flags that differ: {check['flags']}.")  # fmt: skip
    lines.append(
        f"- One observation takes {time['p50']:.3g} ms (median) and {time['p99']:.3g} ms (99%) over {time['calls']:,}"
        " calls on the machine that exported it, with whatever else ran there."
    )
    return "## The file against the policy\n\n" + "\n".join(lines)


def _limits(document: Document) -> str:
    lines = [
        "- It answers anything it is given. What it does far from the data is extrapolation.",
        "- Observations must come in the units, order, delay and sampling interval of the log; nothing in the file"
        " notices another.",
        "- It is deterministic, and does not learn while it runs.",
        "- The held-out steps are of the same log. They say nothing of a system that has changed since.",
    ]
    if document["flag"]["missing"] is None:
        lines.append(
            "- Steps of one episode resemble each other, and the held-out ones also decided when the model's fit ended:"
            f" with {document['dataset']['held_out_episodes']} held-out episodes the shares above are rough."
        )
    return "## Limits\n\n" + "\n".join(lines)


def _files(document: Document) -> str:
    files = [[code(each["name"]), f"{each['bytes']:,}", code(each["sha256"])] for each in document["files"]]
    found = {**document["versions"], **document["runtime"]}
    shown = ", ".join(
        f"{name} {value if not isinstance(value, list) else '/'.join(value)}" for name, value in found.items()
    )
    return "## Files\n\n" + table(["file", "bytes", "SHA-256"], files) + f"\n\nMade and run with: {shown}."


def _interval(part: Document) -> str:
    return f"{number(part['value'])} ({number(part['low'])} to {number(part['high'])} at 95%)"
