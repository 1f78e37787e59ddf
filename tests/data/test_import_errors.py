"""Every fault of a file is one sentence that names the file, the row and the column, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_tables import import_table, make_table, mapping_for, write_table

from orl.data.importing.columns import match, natural
from orl.data.importing.run import import_dataset
from orl.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def nothing_is_written(minari_root: Path) -> Any:
    yield
    assert list(minari_root.iterdir()) == []


def with_cell(column: str, row: int, value: Any) -> pl.DataFrame:
    """The table with another `value` in a cell; `row` counts from 1, and all of the column becomes text."""
    there = pl.int_range(1, pl.len() + 1) == row
    return make_table().with_columns(
        pl.when(there).then(pl.lit(value)).otherwise(pl.col(column).cast(pl.String)).alias(column)
    )


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("s_10", "abc", "'abc' is not a number"),
        ("s_2", None, "the value is missing"),
        ("s_2", "nan", "nan is not finite"),
        ("a_1", "1e300", "1e300 is not finite as a 32-bit float"),
        ("r", "-", "'-' is not a number"),
        ("n_2", "inf", "inf is not finite"),
        ("ep", None, "the value is missing"),
        ("t", None, "the value is missing"),
        ("t", "nan", "'nan' does not fit the rest"),
        ("done", "maybe", "'maybe' is neither true/false nor 1/0"),
        ("cut", "2", "'2' is neither true/false nor 1/0"),
        ("cut", None, "the value is missing"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_bad_value(column: str, value: Any, fault: str, kind: str, tmp_path: Path) -> None:
    line = 8 if kind == "csv" else 7
    with pytest.raises(DataError) as refusal:
        import_table(with_cell(column, 7, value), tmp_path / f"log.{kind}")
    assert str(refusal.value).startswith(f"{tmp_path}/log.{kind}: row 7 (line {line}), column '{column}': {fault}")
    assert "1 such" in str(refusal.value)


def test_binary_files_have_rows_but_no_lines(tmp_path: Path) -> None:
    table = make_table().with_columns(pl.when(pl.col("t") == 2).then(float("nan")).otherwise("r").alias("r"))
    for kind in ("parquet", "npz"):
        with pytest.raises(DataError, match=rf"log.{kind}: row 3, column 'r': nan is not finite .*\(3 such rows\)"):
            import_table(table, tmp_path / f"log.{kind}")


def test_line_breaks_in_cells_and_blank_lines_are_counted(tmp_path: Path) -> None:
    text = with_cell("r", 3, "bad").with_columns(note=pl.lit("two\nlines")).write_csv()
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match=r"row 3 \(line 7\), column 'r': 'bad'"):
        import_dataset(mapping_for(tmp_path / "log.csv"))
    (tmp_path / "log.jsonl").write_text("\n\n" + with_cell("r", 3, "bad").write_ndjson())
    with pytest.raises(DataError, match=r"row 3 \(line 5\), column 'r': 'bad'"):
        import_dataset(mapping_for(tmp_path / "log.jsonl"))


def test_lists_of_unlike_lengths(tmp_path: Path) -> None:
    rows = [json.dumps({"o": [1, 2] if i != 4 else [1, 2, 3], "a": i / 9, "r": 0}) for i in range(9)]
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    none = dict.fromkeys(("next_obs", "episode", "order", "terminated", "truncated"))
    with pytest.raises(
        DataError, match=r"row 5 \(line 5\), column 'o.0': the list has 3 values, that of the first row 2"
    ):
        import_dataset(mapping_for(tmp_path / "log.jsonl", obs=["o"], action=["a"], reward="r", **none))


def break_json(text: str) -> bytes:
    return text.replace('"t":2', '"t":', 1).encode()


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("log.csv", lambda text: text.replace("\n", "\n" + "1," * 11 + "\n", 1).encode(), "row 1 (line 2) has 12"),
        ("log.csv", lambda text: text.replace("2,1,", "2,ä,", 1).encode("latin-1"), "row 2 (line 3), column 't': is"),
        ("log.csv", lambda text: b"", "is empty; a CSV file starts with a line of column names"),
        ("log.csv", lambda text: text.splitlines()[0].encode(), "holds no rows"),
        ("log.csv", lambda text: text.replace("ep,t", "t,t").encode(), "the header (line 1) names column 't' twice"),
        ("log.jsonl", break_json, "row 3 (line 3) cannot be read as JSON"),
        ("log.jsonl", lambda text: text.encode() + b"[3]\n", "row 13 (line 13) is no JSON object"),
        ("log.jsonl", lambda text: b"[" + text.encode() + b"]", "one JSON array; JSON lines are needed"),
        ("log.parquet", lambda text: b"PAR1 and no more", "cannot be read as Parquet"),
        ("log.npz", lambda text: b"PK and no more", "cannot be read as an .npz"),
        ("log.hdf5", lambda text: b"no more", "cannot be read as HDF5"),
        ("log.csv.gz", lambda text: text.encode(), "cannot be unpacked"),
        ("log.xls", lambda text: text.encode(), "cannot tell what kind of file this is; readable are CSV, Parquet"),
    ],
)  # fmt: skip
def test_a_broken_file(name: str, spoil: Callable[[str], bytes], message: str, tmp_path: Path) -> None:
    table = make_table()
    (tmp_path / name).write_bytes(spoil(table.write_ndjson() if "json" in name else table.write_csv()))
    with pytest.raises(DataError) as refusal:
        import_dataset(mapping_for(tmp_path / name))
    assert str(refusal.value).startswith(f"{tmp_path}/{name}: ")
    assert message in str(refusal.value)


def test_pickles_are_refused_and_unlike_lengths(tmp_path: Path) -> None:
    columns = {name: make_table()[name].to_numpy() for name in make_table().columns}
    np.savez(tmp_path / "log.npz", **columns | {"s_2": np.array([object()] * 12)}, allow_pickle=True)
    with pytest.raises(UsageError, match=r"--obs 's_2' fits no column of .*log.npz \(did you mean n_2"):
        import_dataset(mapping_for(tmp_path / "log.npz", obs=["s_2"]))
    np.savez(tmp_path / "log.npz", **columns | {"r": np.zeros(5)})
    with pytest.raises(DataError, match=r"arrays of unlike lengths .*'r': 5"):
        import_dataset(mapping_for(tmp_path / "log.npz"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": ["z_*"]}, "--obs 'z_*' fits no column of"),
        ({"reward": "rewards"}, "--reward 'rewards' fits no column of"),
        ({"action": ["a1"]}, "(did you mean a_1?)"),
        ({"obs": ["s_2", "s_*"]}, "--obs: column 's_2' is named twice"),
        ({"action": ["s_2"]}, "column 's_2' is used twice: as obs and as action"),
        ({"reward": "s_*"}, "--reward 's_*' fits 2 columns (s_2, s_10); name one"),
        ({"next_obs": ["n_2"]}, "--next-obs fits 1 columns, --obs 2"),
        ({"action": None}, "--action is missing; the columns of"),
        ({"action_low": [-1.0]}, "--action-low and --action-high go together"),
        ({"action_low": [-1.0] * 3, "action_high": [1.0]}, "take 1 number or 1"),
        ({"action_low": [1.0], "action_high": [1.0]}, "must be finite and lie below"),
        ({"reference_min": 1.0}, "--reference-min and --reference-max go together"),
        ({"reference_min": 1.0, "reference_max": 0.0}, "must lie below"),
        ({"id": "pump"}, "--id pump: ids end with a version, such as pump-v0"),
        ({"id": "orl/pendulum/mixed-v0"}, "an embedded dataset has this id"),
        ({"env_id": "module:Env-v0"}, "an id with a colon would import code"),
        ({"time_limit": 0}, "--time-limit 0"),
        ({"files": []}, "no file to import"),
        ({"rewart": "r"}, "unknown setting rewart; did you mean reward?"),
    ],
)
def test_a_mapping_that_cannot_be(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        import_table(make_table(), tmp_path / "log.csv", **changes)
    assert message in str(refusal.value)


def test_an_end_inside_an_episode_and_a_row_twice(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"row 6 \(line 7\), column 'cut': the episode ends here, but goes on with .*row 7"
    ):
        import_table(with_cell("cut", 6, "true"), tmp_path / "log.csv")
    with pytest.raises(
        DataError, match=r"row 3 \(line 4\), column 'ep', 't': the same values as in .*row 2 \(line 3\)"
    ):
        import_table(with_cell("t", 3, "1"), tmp_path / "log.csv")
    with pytest.raises(DataError, match=r"column 't': the same .*name an --episode column, or leave out --order"):
        import_table(make_table(), tmp_path / "log.csv", episode=None)


def test_actions_outside_bounds_constant_or_discrete(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 5 \(line 6\), column 'a_1': 7 is outside the bounds \[-3, 5\]"):
        import_table(with_cell("a_1", 5, "7"), tmp_path / "log.csv", action_low=[-3.0], action_high=[5.0])
    with pytest.raises(
        DataError, match=r"log.csv: column 'a_1' is 4 in every row; leave an action that never varies out"
    ):
        import_table(make_table().with_columns(a_1=4.0), tmp_path / "log.csv")
    with pytest.raises(
        DataError, match=r"column 'a_1' holds 4 whole numbers only.*only continuous actions are supported"
    ):
        import_table(make_table().with_columns(a_1=pl.col("t") % 4), tmp_path / "log.csv")
    with pytest.raises(DataError, match=r"row 1 \(line 2\), column 'a_1': 'left' is not a number"):
        import_table(make_table().with_columns(a_1=pl.lit("left")), tmp_path / "log.csv")
    with pytest.raises(DataError, match="column 'a_1' holds Date, not numbers"):
        import_table(make_table().with_columns(a_1=pl.date(2026, 1, 1)), tmp_path / "log.parquet")


def test_files_that_differ_or_are_not_there(tmp_path: Path) -> None:
    first = write_table(make_table(), tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"b.csv: has no column 'r', which .*a.csv has"):
        import_dataset(mapping_for(first, write_table(make_table().drop("r"), tmp_path / "b.csv")))
    more = make_table().with_columns(s_3=0.0, n_3=0.0)
    with pytest.raises(DataError, match=r"b.csv: has column 'n_3', which the patterns fit and .*a.csv lacks"):
        import_dataset(mapping_for(first, write_table(more, tmp_path / "b.csv")))
    with pytest.raises(DataError, match=r"no file .*c.csv \(did you mean"):
        import_dataset(mapping_for(tmp_path / "c.csv"))
    with pytest.raises(UsageError, match="is named twice"):
        mapping_for(first, first)


def test_a_folder_that_is_no_dataset_is_not_replaced(tmp_path: Path, minari_root: Path) -> None:
    (minari_root / "made" / "log-v0" / "other-v0").mkdir(parents=True)
    with pytest.raises(UsageError, match="is there and is no dataset; choose another --id"):
        import_dataset(mapping_for(write_table(make_table(), tmp_path / "log.csv")), force=True)
    (minari_root / "made" / "log-v0" / "other-v0").rmdir()
    (minari_root / "made" / "log-v0").rmdir()
    (minari_root / "made").rmdir()


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orl.data.importing import run

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "write_episode", full)
    with pytest.raises(DataError, match=r"No space left on device\); MINARI_DATASETS_PATH names another place"):
        import_table(make_table(), tmp_path / "log.csv")


def test_a_log_of_which_nothing_remains(tmp_path: Path) -> None:
    lonely = make_table().with_columns(pl.int_range(pl.len()).alias("ep"), done=False, cut=False)
    with pytest.raises(DataError, match="no step has a known next observation; give --next-obs"):
        import_table(lonely, tmp_path / "log.csv", next_obs=None)
    bare = lonely.with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("a_1", "r"))
    with pytest.raises(DataError, match=r"log.csv: column 'a_1': action and reward are missing in every row"):
        import_table(bare, tmp_path / "log.csv", next_obs=None)


def test_an_import_that_is_cut_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orl.data.importing import run

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "write_metadata", interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_table(make_table(), tmp_path / "log.csv")


def test_patterns() -> None:
    names = ["s_10", "s_2", "a,b", "x.y", "x.z", "xy", "h/s_1"]
    assert match(("s_*",), names, "--obs", "log") == ("s_2", "s_10")
    assert match(("s_10, s_2",), names, "--obs", "log") == ("s_10", "s_2")
    assert match(("a,b", "x"), names, "--obs", "log") == ("a,b", "x.y", "x.z")
    assert match(("h",), names, "--obs", "log") == ("h/s_1",)
    assert sorted(["b1", "a10", "a9", "a", "10", "9"], key=natural) == ["9", "10", "a", "a9", "a10", "b1"]
