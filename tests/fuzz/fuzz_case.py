"""A case of the corpus, and what any file can suffer."""

from __future__ import annotations

from typing import NamedTuple

from mutations import WHOLE_FAULTS, Rng, of_bytes


class Broken(NamedTuple):
    """A case.

    Attributes:
        files: their content by path below the case's folder. main: the one a command is pointed at; "" for the folder.
        how: what was done. fatal: no reader of logs may accept it. same: where a reader accepts it, it is the sound
            log, for the format carries a checksum.
    """

    files: dict[str, bytes]
    main: str
    how: str
    fatal: bool = False
    same: bool = False


def whole_or_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """The content with faults in some of its bytes, or something else altogether; and what was done."""
    if not rng.integers(8):
        name = str(rng.choice(list(WHOLE_FAULTS)))
        return WHOLE_FAULTS[name](content), name
    return of_bytes(rng, content)
