"""A Parquet file read once by a process of its own: over a few damaged ones the table library ends the process.

Run as `python -P -m orl.data.importing.trial FILE`; the exit code is 0 where all of the file could be read, 3 where the
library says why it cannot be, and another where the library itself failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl

_ROWS = 2**16  # read at a time
_REFUSED, _FAILED = 3, 4


def survives_reading(file: Path) -> bool:
    """Whether reading all of a Parquet file leaves a process sound; what it says meanwhile is lost."""
    words = [sys.executable, "-P", "-m", __name__, str(file.absolute())]  # -P: nothing is imported from where we are
    there = os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path)}
    found = subprocess.run(words, check=False, env=there, stdin=subprocess.DEVNULL, capture_output=True)
    return found.returncode in (0, _REFUSED)


def _read(file: str) -> None:
    table = pl.scan_parquet(file, glob=False, row_index_name="@row", row_index_offset=1)  # as the import reads it
    table.head(1).collect()
    for _ in table.collect_batches(chunk_size=_ROWS):
        pass


if __name__ == "__main__":
    try:
        _read(sys.argv[1])
    except (pl.exceptions.PolarsError, OSError):
        sys.exit(_REFUSED)  # the import finds it again, and puts it into words
    except pl.exceptions.PanicException:
        sys.exit(_FAILED)
