"""Every kind of file gives the same dataset: that of the table itself, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_tables import LENGTHS, import_table, make_table, mapping_for, write_table

from orl.data.catalog import load
from orl.data.importing.mapping import read_mapping, save_mapping
from orl.data.importing.run import import_dataset
from orl.errors import DataError

KINDS = ["csv", "csv.gz", "csv.bz2", "jsonl", "json.gz", "ndjson.bz2", "parquet", "npz", "hdf5"]


def assert_is_the_table(name: str, table: pl.DataFrame) -> None:
    """The dataset `name` holds the rows of `table`, sorted by number, as 32-bit floats."""
    data, table = load(name), table.sort("ep", "t")
    np.testing.assert_array_equal(data.obs, table.select("s_2", "s_10").to_numpy().astype(np.float32))
    np.testing.assert_array_equal(data.next_obs, table.select("n_2", "n_10").to_numpy().astype(np.float32))
    np.testing.assert_array_equal(data.action[:, 0], table["a_1"].to_numpy().astype(np.float32))
    np.testing.assert_array_equal(data.reward, table["r"].to_numpy().astype(np.float32))
    assert data.lengths.tolist() == list(LENGTHS)
    assert data.terminated.tolist() == table["done"].to_list()
    assert data.truncated.tolist() == table["cut"].to_list()
    assert data.action_low == np.float32(table["a_1"].min())
    assert data.action_high == np.float32(table["a_1"].max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_in_any_order(kind: str, minari_root: Path, tmp_path: Path) -> None:
    table = make_table()
    inside = {"hdf5": {"obs": ["log/s_*"], "next_obs": ["log/n_*"], "action": ["log/a_1"], "episode": ["log/ep"]}}
    inside["hdf5"] |= {key: f"log/{name}" for key, name in [("reward", "r"), ("order", "t")]}
    inside["hdf5"] |= {key: f"log/{name}" for key, name in [("terminated", "done"), ("truncated", "cut")]}
    shuffled = table.sample(fraction=1, shuffle=True, seed=3)
    found = import_table(shuffled, tmp_path / f"log.{kind}", **inside.get(kind, {}))
    assert (found["rows"], found["steps"], found["episodes"], found["dropped_rows"]) == (12, 12, 3, 0)
    assert found["returns"]["max"] == pytest.approx(table.group_by("ep").agg(pl.col("r").sum())["r"].max())
    assert_is_the_table("made/log-v0", table)
    assert [path.name for path in minari_root.iterdir()] == ["made"]


def test_nested_json_lists_and_structs_are_columns(minari_root: Path, tmp_path: Path) -> None:
    table = make_table()
    nested = table.select(
        "ep", "t", "r", "done", "cut",
        pl.struct(x=pl.struct(pl.col("s_10").alias("10"), pl.col("s_2").alias("2"))).alias("state"),
        pl.concat_list("n_2", "n_10").alias("following"),
        pl.struct(u="a_1").alias("action"),
    )  # fmt: skip
    names = {"obs": ["state"], "next_obs": ["following.1,following.0"], "action": ["action.u"]}
    found = import_table(nested, tmp_path / "log.jsonl", **names | {"next_obs": ["following"]})
    assert found["columns"]["obs"] == ["state.x.2", "state.x.10"]
    assert_is_the_table("made/log-v0", table)
    with pytest.raises(DataError, match=r"column 'following.1': .* but the next row"):
        import_table(nested, tmp_path / "log.parquet", id="made/swapped-v0", **names)


def test_columns_of_arrays_may_be_wide(minari_root: Path, tmp_path: Path) -> None:
    table = make_table()
    wide = {"obs": table.select("s_2", "s_10").to_numpy(), "next": np.asfortranarray(table.select("n_2", "n_10"))}
    rest = {name: table[name].to_numpy() for name in ("ep", "t", "a_1", "r", "done", "cut")}
    np.savez_compressed(tmp_path / "log.npz", **wide, **rest)
    import_dataset(mapping_for(tmp_path / "log.npz", obs=["obs"], next_obs=["next"]))
    assert_is_the_table("made/log-v0", table)


def test_several_files_are_one_log(minari_root: Path, tmp_path: Path) -> None:
    table = make_table()
    files = [write_table(table[5:], tmp_path / "b.csv"), write_table(table[:5], tmp_path / "a.parquet")]
    found = import_dataset(mapping_for(*files))
    assert [(file["name"], file["rows"]) for file in found["files"]] == [("b.csv", 7), ("a.parquet", 5)]
    assert_is_the_table("made/log-v0", table)


def test_a_log_larger_than_a_part_is_dealt_out_or_streamed(
    minari_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two or three rows at a time: shuffled by episodes, shuffled in one episode, and in order."""
    from orl.data.importing import order

    monkeypatch.setattr(order, "PART_BYTES", 4 * 16 * 2)
    dealt: list[int] = []
    deal = order._dealt
    monkeypatch.setattr(order, "_dealt", lambda *words: dealt.append(1) or deal(*words))
    table = make_table()
    import_table(table.sample(fraction=1, shuffle=True, seed=1), tmp_path / "log.csv")
    assert_is_the_table("made/log-v0", table)
    import_table(table, tmp_path / "log.csv", id="made/ordered-v0")
    assert_is_the_table("made/ordered-v0", table)
    assert len(dealt) == 1
    one = make_table().with_columns(pl.int_range(pl.len()).alias("t"))
    loose = {"episode": None, "next_obs": ["n_*"]}
    import_table(one.sample(fraction=1, shuffle=True, seed=1), tmp_path / "log.csv", id="made/one-v0", **loose)
    assert len(dealt) == 2
    assert load("made/one-v0").fingerprint == load("made/ordered-v0").fingerprint


def test_a_saved_mapping_imports_the_same_again(minari_root: Path, tmp_path: Path) -> None:
    mapping = mapping_for(
        write_table(make_table(), tmp_path / "log.csv"), time_limit=5, reference_min=-3.0, reference_max=9.0
    )
    import_dataset(mapping)
    save_mapping(mapping, tmp_path / "map.toml")
    assert read_mapping(tmp_path / "map.toml", {"reward": None}) == mapping
    again = read_mapping(tmp_path / "map.toml", {"id": "made/again-v0"})
    import_dataset(again)
    assert load("made/again-v0").fingerprint == load("made/log-v0").fingerprint
    assert (load("made/again-v0").reference.min, load("made/again-v0").reference.max) == (-3, 9)
    stored = json.loads((minari_root / "made" / "log-v0" / "data" / "metadata.json").read_text())["import"]
    assert stored["mapping"]["files"] == ["log.csv"]
    assert stored["mapping"]["obs"] == ["s_*"]
    assert len(stored["files"][0]["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(stored)


def test_minari_reads_what_was_imported(minari_root: Path, tmp_path: Path) -> None:
    import minari

    import_table(make_table(), tmp_path / "log.csv", env_id="Pendulum-v1", time_limit=150)
    theirs, ours = minari.load_dataset("made/log-v0"), load("made/log-v0")
    assert (theirs.total_steps, theirs.total_episodes, theirs.env_spec.id) == (12, 3, "Pendulum-v1")
    assert np.array_equal(theirs[1].observations[1:], ours.next_obs[4:7])
    assert theirs[0].terminations.tolist() == [False, False, False, True]
    assert (ours.env_id, ours.max_episode_steps) == ("Pendulum-v1", 150)


def test_the_real_neorl_logs_are_what_their_reader_reads(shared, minari_root: Path) -> None:
    names = {"obs": ["obs"], "action": ["action"], "reward": "reward", "next_obs": ["next_obs"]}
    ends = {"episode": None, "order": None, "terminated": "done", "truncated": "truncated"}
    for name in ("RandomFrictionHopper-high-20000-val", "SafetyHalfCheetah-high-100000-train"):
        file = shared(f"neorl2/{name}.npz")
        import_dataset(mapping_for(file, id=f"neorl2/{name}-v0", **names, **ends))
        assert load(f"neorl2/{name}-v0").fingerprint == load(str(file)).fingerprint


def test_the_real_shuffled_reagent_log(shared, minari_root: Path) -> None:
    names = {"obs": ["state_features"], "action": ["action"], "reward": "reward", "next_obs": ["next_state_features"]}
    keys = {"episode": ["mdp_id"], "order": "sequence_number", "terminated": None, "truncated": None}
    found = import_dataset(mapping_for(shared("reagent/pendulum_training.json.bz2"), **names, **keys))
    assert (found["rows"], found["episodes"], found["lengths"]["min"]) == (8600, 43, 200)
    data = load("made/log-v0")
    np.testing.assert_allclose(data.obs[:, 0] ** 2 + data.obs[:, 1] ** 2, 1, atol=1e-5)
    np.testing.assert_allclose([data.returns.mean(), data.returns.min()], [-424.27, -1544.78], atol=0.01)
