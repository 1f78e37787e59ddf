"""Where imported episodes end, and what is done where the log does not say what came next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_tables import import_table, make_table, mapping_for, write_table

from orl.data.catalog import load
from orl.data.importing.run import import_dataset
from orl.errors import DataError

NO_NEXT: dict[str, Any] = {"next_obs": None}


def test_without_next_observations_cuts_lose_their_last_row_and_true_ends_keep_it(
    minari_root: Path, tmp_path: Path
) -> None:
    found = import_table(make_table(), tmp_path / "log.csv", **NO_NEXT)
    data = load("made/log-v0")
    assert data.lengths.tolist() == [4, 2, 4]
    assert found["dropped_rows"] == 2
    assert [line for line in found["assumed"] if "--next-obs" in line] == [
        "no --next-obs: 2 last rows of cut episodes left out, for nothing follows them",
        "no --next-obs: 1 true ends have their own observation as the next one",
    ]
    assert np.array_equal(data.next_obs[3], data.obs[3])
    assert np.array_equal(data.next_obs[4], data.obs[5])
    assert np.flatnonzero(data.terminated).tolist() == [3]
    assert np.flatnonzero(data.truncated).tolist() == [5, 9]


def test_a_last_row_without_action_is_the_observation_after_the_last_one(minari_root: Path, tmp_path: Path) -> None:
    table = make_table().with_columns(last=pl.col("t") == pl.col("t").max().over("ep"))
    table = table.with_columns(pl.when("last").then(None).otherwise(name).alias(name) for name in ("a_1", "r"))
    found = import_table(table, tmp_path / "log.csv", **NO_NEXT)
    data = load("made/log-v0")
    assert (data.lengths.tolist(), found["dropped_rows"]) == ([3, 2, 4], 0)
    assert tuple(data.next_obs[2].tolist()) == table.select("s_2", "s_10").row(3)
    assert np.flatnonzero(data.terminated).tolist() == [2]
    by_flags = import_table(table, tmp_path / "log.csv", id="made/flags-v0", episode=None, order=None, **NO_NEXT)
    assert by_flags["episodes"] == 3
    assert load("made/flags-v0").fingerprint == data.fingerprint
    gone = table.with_columns(pl.when(pl.col("t") == 1).then(None).otherwise("a_1").alias("a_1"))
    gone = gone.with_columns(pl.when(pl.col("t") == 1).then(None).otherwise("r").alias("r"))
    with pytest.raises(DataError, match=r"row 2 \(line 3\), column 'a_1': the value is missing, and the episode goes"):
        import_table(gone, tmp_path / "log.csv", id="made/gone-v0", **NO_NEXT)


def test_without_end_columns_every_episode_is_cut(minari_root: Path, tmp_path: Path) -> None:
    found = import_table(make_table(), tmp_path / "log.csv", terminated=None, truncated=None)
    assert (found["terminals"], found["timeouts"]) == (0, 3)
    assert np.flatnonzero(load("made/log-v0").truncated).tolist() == [3, 6, 11]
    assert "no --terminated column: no episode ends truly, each is cut at its last row" in found["assumed"]


def test_without_an_episode_column_flags_or_else_files_separate_episodes(minari_root: Path, tmp_path: Path) -> None:
    table, loose = make_table(), {"episode": None, "order": None}
    import_table(table, tmp_path / "log.csv", **loose)
    assert load("made/log-v0").lengths.tolist() == [4, 3, 5]
    files = [write_table(table.filter(ep=episode), tmp_path / f"{episode}.csv") for episode in (10, 2)]
    bare = loose | {"terminated": None, "truncated": None}
    import_dataset(mapping_for(*files, id="made/files-v0", **bare))
    assert load("made/files-v0").lengths.tolist() == [5, 4]
    with pytest.raises(DataError, match=r"row 4 \(line 5\), column 'n_(2|10)': .*name --episode"):
        import_table(table, tmp_path / "log.csv", id="made/none-v0", **bare)


def test_several_columns_or_the_file_may_name_an_episode(minari_root: Path, tmp_path: Path) -> None:
    table = make_table()
    files = [write_table(table, tmp_path / name) for name in ("a.csv", "b.csv")]
    with pytest.raises(DataError, match=r"b.csv: row 1 \(line 2\), column 'ep', 't': .*a.csv: row 1.*--episode @file"):
        import_dataset(mapping_for(*files))
    import_dataset(mapping_for(*files, episode=["@file", "ep"]))
    assert load("made/log-v0").lengths.tolist() == [4, 3, 5, 4, 3, 5]


def test_ends_at_the_time_limit_are_cuts(minari_root: Path, tmp_path: Path) -> None:
    table = make_table().with_columns(done=pl.col("done") | pl.col("cut"))
    found = import_table(table, tmp_path / "log.csv", truncated=None, time_limit=5)
    assert np.flatnonzero(load("made/log-v0").terminated).tolist() == [3, 6]
    assert np.flatnonzero(load("made/log-v0").truncated).tolist() == [11]
    assert "1 ends at --time-limit 5 are cuts, not true ends" in found["assumed"]
    import_table(table, tmp_path / "log.csv", id="made/alone-v0", truncated=None, time_limit=5, **NO_NEXT)
    assert load("made/alone-v0").lengths.tolist() == [4, 3, 4]  # the next observation at the cut is not known
    with pytest.raises(DataError, match=r"row 12 \(line 13\), column 't': .* 5 steps, more than --time-limit 4"):
        import_table(table, tmp_path / "log.csv", id="made/beyond-v0", truncated=None, time_limit=4)


def test_gaps_are_refused_or_split(minari_root: Path, tmp_path: Path) -> None:
    table = make_table()
    holed = pl.concat([table[:9], table[10:]])
    with pytest.raises(
        DataError, match=r"row 10 \(line 11\), column 't': 3 follows 1 .*2 times the usual step .*--allow-gaps"
    ):
        import_table(holed, tmp_path / "log.csv")
    found = import_table(holed, tmp_path / "log.csv", allow_gaps=True)
    assert load("made/log-v0").lengths.tolist() == [4, 3, 2, 2]
    assert "1 gaps: the episode is split at each" in found["assumed"]
    by_chain = {"order": None, "allow_gaps": True}
    import_table(holed, tmp_path / "log.csv", id="made/chain-v0", **by_chain)
    assert load("made/chain-v0").fingerprint == load("made/log-v0").fingerprint


def test_dates_order_rows_and_their_gaps_are_found(minari_root: Path, tmp_path: Path) -> None:
    dates = pl.lit("2026-01-31T23:") + (pl.col("t") + 50).cast(pl.String) + ":00"
    table = make_table().with_columns(dates.alias("t"))
    import_table(table.reverse(), tmp_path / "log.csv")
    import_table(make_table(), tmp_path / "log.csv", id="made/plain-v0")
    assert load("made/log-v0").fingerprint == load("made/plain-v0").fingerprint
    with pytest.raises(
        DataError, match=r"row 6 \(line 7\), column 't': 2026-01-31T23:52:00 follows 2026-01-31T23:50:00 .*2 times"
    ):
        import_table(pl.concat([table[:5], table[6:]]), tmp_path / "log.csv", id="made/holed-v0")
    odd = pl.when(pl.int_range(pl.len()) == 1).then(pl.lit("noon")).otherwise("t").alias("t")
    with pytest.raises(DataError, match=r"row 2 \(line 3\), column 't': 'noon' does not fit the rest"):
        import_table(table.with_columns(odd), tmp_path / "log.csv", id="made/odd-v0")


def test_bounds_are_given_or_found(minari_root: Path, tmp_path: Path) -> None:
    found = import_table(make_table(), tmp_path / "log.csv", action_low=[-10.0], action_high=[10.0])
    assert (found["action_low"], found["action_high"]) == ([-10], [10])
    assert load("made/log-v0").action_low.tolist() == [-10]
    small = make_table().with_columns(pl.col("a_1") / 10)
    assert import_table(small, tmp_path / "log.csv", id="made/small-v0")["action_low"] == [-1]


@pytest.mark.parametrize("words", [("TRUE", "no"), ("1", "0"), ("1.0", "0.0"), ("t", "F")])
def test_flags_in_words(words: tuple[str, str], minari_root: Path, tmp_path: Path) -> None:
    said = [pl.when(name).then(pl.lit(words[0])).otherwise(pl.lit(words[1])).alias(name) for name in ("done", "cut")]
    import_table(make_table().with_columns(said), tmp_path / "log.csv")
    assert np.flatnonzero(load("made/log-v0").terminated).tolist() == [3]
    assert np.flatnonzero(load("made/log-v0").truncated).tolist() == [6, 11]
