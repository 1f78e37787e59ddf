"""What no reading of a broken file may do."""

from __future__ import annotations

import json
from typing import NamedTuple

import sound_files as sound
from fuzz_case import Broken

LONGEST = 1200  # characters of a message
NAMELESS = ("data list",)  # goes over everything there is, with a note for what is left out


class Call(NamedTuple):
    """What the child says of a command."""

    door: str
    code: int
    out: str
    err: str


def fault_of(case: Broken, calls: list[Call], fingerprint: str) -> str:
    """What no reading of a broken file may do; "" where all is as it should be."""
    codes = {call.door: call.code for call in calls}
    for call in calls:
        if call.code not in (0, 2, 3) or "Traceback" in call.err:
            return f"{call.door}: code {call.code}, {' | '.join(call.err.strip().splitlines()[-3:])}"
        lines = [line for line in call.err.splitlines() if not line.startswith("orl: note:")]
        if call.code and not (call.door == "data check" and call.out):  # which reports on stdout
            message = fault_of_message(lines, names_of(case))
            if message:
                return f"{call.door}: {message}"
        if call.code and call.door in NAMELESS:
            return f"{call.door}: ends with {call.code}"
        if not call.code and '"finite": false' in call.out:
            return f"{call.door}: parameters that are no numbers were accepted"
    if codes.get("data show") and codes.get("data check") == 0:
        return "load refuses what the check lets pass"
    shown = next((call.out for call in calls if call.door == "data show" and not call.code), None)
    if case.same and shown and json.loads(shown)["fingerprint"] != fingerprint:
        return "accepted as another log, though there are checksums"
    if case.fatal and codes.get("data show") == 0:
        return "accepted, though it cannot be a log"
    return ""


def names_of(case: Broken) -> list[str]:
    """What names the file at fault: its own name, and the id of a Minari dataset."""
    return [case.main or sound.ID, sound.ID, *(name for name in case.files if "/" not in name)]


def fault_of_message(lines: list[str], names: list[str]) -> str:
    """A refusal is one line that names the file."""
    if len(lines) != 1 or not lines[0].startswith("orl: "):
        return f"{len(lines)} lines: {' | '.join(lines)[:300]}"
    if len(lines[0]) > LONGEST:
        return f"a message of {len(lines[0])} characters: {lines[0][:200]}"
    return "" if any(name in lines[0] for name in names) else f"names no file: {lines[0][:300]}"
