"""Files as lazy tables: CSV, Parquet, JSON lines, NPZ and HDF5, also compressed, never whole in memory."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import polars as pl

from orl.data.importing.arrays import open_arrays
from orl.data.importing.leaves import Leaf, as_text, leaves_of
from orl.data.importing.trial import survives_reading
from orl.data.local import did_you_mean
from orl.data.readers.limits import refuse_bomb
from orl.errors import DataError
from orl.files import storage_error

ROW = "@row"
KINDS = {
    ".csv": "CSV",
    ".tsv": "CSV",
    ".txt": "CSV",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON lines",
    ".npz": "NPZ",
    ".hdf5": "HDF5",
    ".h5": "HDF5",
}
READABLE = "CSV, Parquet, JSON lines (each also .gz or .bz2), NPZ and HDF5"
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
_BYTES = re.compile("[\udc80-\udcff]")  # what stands for bytes that are no UTF-8
_UNPACK_BYTES = 2**20
_INFER_ROWS = 10_000  # JSON lines read to learn which fields there are


class Source(NamedTuple):
    """A file to import.

    Attributes:
        path: as the user gave it, for messages. file: what is read, unpacked if `path` is compressed.
        leaves: its columns. scan: given the names wanted, the table with a row number from 1 in `ROW`.
    """

    path: Path
    file: Path
    kind: str
    leaves: dict[str, Leaf]
    scan: Callable[[list[str]], pl.LazyFrame]

    def place(self, row: int) -> str:
        """'log.csv: row 7 (line 8)', for messages.

        Raises:
            DataError: the file is no longer what was opened.
        """
        line = None
        with suppress(csv.Error):  # such as a cell beyond its limit of length
            line = _line_of(self, row)
        return f"{self.path}: row {row}" + (f" (line {line})" if line else "")

    def raw(self, name: str, row: int) -> Any:
        """The value of column `name` at `row` as it stands in the file; for an element of a list, the list."""
        leaf = self.leaves[name]
        table = self.scan([name]).filter(pl.col(ROW) == row)
        value = table.select((leaf.expr if leaf.parent is None else leaf.parent).alias("value")).collect().item()
        return value.to_list() if isinstance(value, pl.Series) else value


def open_source(path: Path, work: Path) -> Source:
    """The file at `path` as a table; what has to be unpacked goes into the folder `work`.

    Raises:
        DataError: absent, of an unknown kind, broken, or without rows.
    """
    if not _is_file(path):
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"no file {path}{did_you_mean(path.name, beside)}; check the path")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1] if suffixes and suffixes[-1] in _OPENERS else None
    suffix = (suffixes[-2] if len(suffixes) > 1 else "") if packed else (suffixes[-1] if suffixes else "")
    kind = KINDS.get(suffix)
    if kind is None:
        raise DataError(f"{path}: cannot tell what kind of file this is; readable are {READABLE}")
    if packed and kind in ("NPZ", "HDF5"):
        raise DataError(f"{path}: a compressed {kind} file; unpack it first")
    file = _unpack(path, packed, suffix, work) if packed else path
    if kind in ("NPZ", "HDF5"):
        found = open_arrays(path, file, kind, work)
        return Source(path, file, kind, found.leaves, found.scan)
    if kind == "Parquet" and not survives_reading(file):
        raise DataError(
            f"{path}: cannot be read as Parquet (its reader fails over it); the file is broken, copy it again"
        )
    with broken_file(path, file, kind):
        table = _scan(path, file, kind)
        return Source(path, file, kind, leaves_of(table.drop(ROW), str(path)), lambda names: table)


def _is_file(path: Path) -> bool:
    with suppress(OSError):  # such as a name that is too long
        return path.is_file()
    return False


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def broken_file(path: Path, file: Path, kind: str) -> Iterator[None]:
    """What the table library cannot parse, as a DataError that names the file and, where it can be found, the line."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:  # the second is no Exception
        if full := storage_error(str(error)):  # not the file that is read is at fault, but the disk written to
            raise full from None
        reason = str(error).strip().splitlines()
        fault = None
        with suppress(csv.Error):
            fault = {"CSV": _csv_fault, "JSON lines": _json_fault}.get(kind, lambda _: None)(file)
        raise DataError(f"{path}: {fault or f'cannot be read as {kind} ({reason[0] if reason else error})'}") from None


def _scan(path: Path, file: Path, kind: str) -> pl.LazyFrame:
    numbered: dict[str, Any] = {"row_index_name": ROW, "row_index_offset": 1}
    if kind == "Parquet":
        return pl.scan_parquet(file, glob=False, **numbered)
    if kind == "CSV":
        table = pl.scan_csv(file, separator=_separator(path, file), infer_schema=False, glob=False, **numbered)
        blank = pl.all_horizontal(pl.all().exclude(ROW).is_null())
        return table.filter(~blank)  # after numbering, for a blank line is a line
    if set(file.name) & set("*?["):  # its reader would take the name for a pattern and read other files too
        raise DataError(f"{path}: the name of a JSON lines file may hold none of * ? [; rename it")
    with open(file, "rb") as opened:
        if opened.read(64).lstrip()[:1] == b"[":
            raise DataError(f"{path}: one JSON array; JSON lines are needed, one object on a line (`jq -c '.[]'`)")
    schema = pl.scan_ndjson(file, infer_schema_length=_INFER_ROWS).collect_schema()
    return pl.scan_ndjson(file, schema=as_text(schema), **numbered)


def _separator(path: Path, file: Path) -> str:
    """The one of , ; tab | that the header has most of."""
    with _text(file) as opened:
        header = opened.readline()
    separator = max(",;\t|", key=header.count)
    names = next(csv.reader([header], delimiter=separator), [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the header (line 1) names column '{twice[0]}' twice; rename one of them")
    return separator


def _unpack(path: Path, packed: str, suffix: str, work: Path) -> Path:
    descriptor, name = tempfile.mkstemp(suffix=suffix, dir=work)
    try:
        with _OPENERS[packed](path, "rb") as source, open(descriptor, "wb") as target:
            packed_bytes, unpacked = path.stat().st_size, 0
            while piece := source.read(_UNPACK_BYTES):
                unpacked += len(piece)
                refuse_bomb(f"{path}, unpacked,", unpacked, packed_bytes)
                target.write(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); the file is broken, copy it again") from None
    return Path(name)


def _line_of(source: Source, row: int) -> int | None:
    """The line on which row `row` ends: rows may hold line breaks (CSV), and lines may be blank (JSON lines)."""
    if source.kind == "JSON lines":
        with _text(source.file) as opened:
            full = (line for line, text in enumerate(opened, 1) if text.strip())
            return next((line for count, line in enumerate(full, 1) if count == row), None)
    if source.kind == "CSV":
        with _text(source.file) as opened:
            reader = csv.reader(opened, delimiter=_separator(source.path, source.file))
            return next((reader.line_num for count, _ in enumerate(reader) if count == row), None)
    return None


def _csv_fault(file: Path) -> str | None:
    """The first row of a CSV file that the header does not fit."""
    with _text(file) as opened:
        reader = csv.reader(opened, delimiter=_separator(file, file))
        header = next(reader, None)
        if header is None:
            return "is empty; a CSV file starts with a line of column names"
        for row, cells in enumerate(reader, 1):
            place = f"row {row} (line {reader.line_num})"
            if len(cells) > len(header):
                return (
                    f"{place} has {len(cells)} cells, the header {len(header)}; the first too many, after column "
                    f"'{header[-1]}', is {cells[len(header)]!r}"
                )
            foreign = next((name for name, cell in zip(header, cells, strict=False) if _BYTES.search(cell)), None)
            if foreign is not None:
                return f"{place}, column '{foreign}': is no text in UTF-8; convert the file"
    return None


def _json_fault(file: Path) -> str | None:
    """The first line of a JSON-lines file that is no JSON object."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    row = 0
    with _text(file) as opened:
        for line, text in enumerate(opened, 1):
            if not text.strip():
                continue
            row += 1
            try:
                if not isinstance(json.loads(text, parse_constant=refuse), dict):
                    return f"row {row} (line {line}) is no JSON object; every line needs to be one"
            except (ValueError, RecursionError) as error:
                return f"row {row} (line {line}) cannot be read as JSON ({error})"
    return None if row else "holds no rows"


def _text(file: Path) -> IO[str]:
    return open(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
