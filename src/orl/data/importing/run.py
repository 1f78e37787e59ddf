"""From files to a Minari dataset: the whole import, and its report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from orl.config import as_tree
from orl.data.episodes import Floats
from orl.data.importing.boundaries import Boundaries
from orl.data.importing.bounds import action_bounds, refuse_outside
from orl.data.importing.columns import Columns, choose
from orl.data.importing.episodes import Cutter, Ends, Episode
from orl.data.importing.mapping import Mapping
from orl.data.importing.order import ordered_rows
from orl.data.importing.report import Tally, report
from orl.data.importing.rows import write_rows
from orl.data.importing.sources import Source, digest, open_source
from orl.data.importing.storage import new_hdf5
from orl.data.importing.write import write_episode, write_metadata
from orl.data.local import data_folder, datasets_path
from orl.data.publish import IMPORTING, REPLACED, clear_left, publish, work_folder
from orl.errors import DataError, UsageError
from orl.files import storage_error

Progress = Callable[[str], None]


class Log(NamedTuple):
    """The opened files, their chosen columns, their checked rows on disk, and the bounds [A] of the actions."""

    sources: list[Source]
    counts: list[int]
    columns: Columns
    rows: pl.LazyFrame
    low: Floats
    high: Floats


def import_dataset(
    mapping: Mapping, force: bool = False, dry_run: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Import the files of `mapping` as the local dataset ``mapping.id``; returns a report of plain JSON values.

    The dataset is built in a hidden folder and renamed at the end, so nothing is left of an import that failed. With
    `dry_run` everything is read and checked and nothing written.

    Raises:
        UsageError: the id is taken (unless `force`), another process imports it, or the mapping does not fit the files.
        DataError: the files cannot be read or hold what no dataset may; names file, row and column.
    """
    tell = progress or (lambda text: None)
    target = data_folder(mapping.id).parent
    if not dry_run:
        clear_left(datasets_path())  # first: one that was killed just after its dataset appeared is refused below
        _check_free(mapping.id, target, force)
    with _work_folder(None if dry_run else mapping.id) as work:
        log = _read(mapping, work, tell)
        tally, ends = Tally(), Ends()
        boundaries = Boundaries(log.columns, log.sources, mapping.allow_gaps)
        batches = ordered_rows(log.rows, log.columns, log.sources, work)
        episodes = _counted(Cutter(boundaries, mapping.time_limit, ends).episodes(batches), log, tally)
        tell("ordering rows into episodes")
        built = work / mapping.id / "data"
        _write_all(episodes, None if dry_run else built)
        if not tally.steps:
            raise DataError(f"{log.sources[0].path}: no step has a known next observation; give --next-obs")
        found = report(mapping, log.columns, tally, ends, boundaries.splits, log.low, log.high, _origin(log))
        if not dry_run:
            origin = {"mapping": as_tree(_portable(mapping)), "files": found["files"], "assumed": found["assumed"]}
            write_metadata(built, mapping, log.low, log.high, len(log.columns.obs), tally.steps, tally.episodes, origin)
            _publish(built.parent, target, work / REPLACED / mapping.id)
    return found | {"folder": None if dry_run else str(target)}


def _check_free(dataset_id: str, target: Path, force: bool) -> None:
    if target.exists() and not (target / "data" / "metadata.json").is_file():
        raise UsageError(f"--id {dataset_id}: {target} is there and is no dataset; choose another --id")
    if target.exists() and not force:
        raise UsageError(f"{dataset_id} is already in {target.parent}; choose another --id, or replace it with --force")


def _read(mapping: Mapping, work: Path, tell: Progress) -> Log:
    sources, written, counts = [], [], []
    for name in mapping.files:
        tell(f"opening {name}")
        sources.append(open_source(Path(name), work))
    columns = choose(mapping, sources)
    for index, source in enumerate(sources):
        tell(f"reading and checking {source.path}")
        path, count = write_rows(source, index, columns, work)
        written.append(path)
        counts.append(count)
    rows = pl.scan_parquet(written)
    low, high = action_bounds(rows, columns, mapping, sources)
    return Log(sources, counts, columns, rows, low, high)


def _counted(episodes: Iterator[Episode], log: Log, tally: Tally) -> Iterator[Episode]:
    for episode in episodes:
        refuse_outside(episode, log.low, log.high, log.columns, log.sources)
        tally.add(episode)
        yield episode


def _write_all(episodes: Iterator[Episode], folder: Path | None) -> None:
    """Write the episodes into a new folder, or only run through them where there is none."""
    if folder is None:
        for _ in episodes:
            pass
        return
    folder.mkdir(parents=True)
    with new_hdf5(folder / "main_data.hdf5") as (file, refuse_if_full):
        for index, episode in enumerate(episodes):
            write_episode(file, index, episode)
            refuse_if_full()


@contextmanager
def _work_folder(dataset_id: str | None) -> Iterator[Path]:
    """A folder for what has to be on disk meanwhile, gone afterwards whatever happens; None: of a dry run."""
    try:
        if dataset_id is None:
            with tempfile.TemporaryDirectory(prefix=IMPORTING) as work:
                yield Path(work)
        else:
            with work_folder(IMPORTING, dataset_id) as folder:
                yield folder
    except (OSError, pl.exceptions.PolarsError) as error:
        if isinstance(error, pl.exceptions.PolarsError) and storage_error(str(error)) is None:
            raise
        place = "TMPDIR" if dataset_id is None else "MINARI_DATASETS_PATH"
        raise DataError(
            f"cannot write what the import needs on disk ({_reason(error)}); {place} names another place"
        ) from None


def _reason(error: Exception) -> str:
    """What the system said, without the words of the library in between."""
    cause = error if isinstance(error, OSError) else storage_error(str(error))
    return str((cause and cause.strerror) or error)


def _publish(built: Path, target: Path, replaced: Path) -> None:
    """Put the dataset in its place; the one that was there comes back (`work_folder`) if that fails."""
    if target.exists():
        replaced.parent.mkdir(parents=True)
        os.rename(target, replaced)
    publish(built, target, datasets_path())


def _origin(log: Log) -> list[dict[str, Any]]:
    """Base name, SHA-256 and rows of every file; no folders, for a dataset travels."""
    return [
        {"name": source.path.name, "sha256": digest(source.path), "rows": count}
        for source, count in zip(log.sources, log.counts, strict=True)
    ]


def _portable(mapping: Mapping) -> Mapping:
    return replace(mapping, files=tuple(Path(name).name for name in mapping.files))
