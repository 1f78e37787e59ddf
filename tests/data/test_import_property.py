"""Whatever the episodes and whatever the order of their rows, an import gives them back."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import import_table

from orl.data.catalog import load

lengths_of_episodes = st.lists(st.integers(2, 6), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(
    lengths=lengths_of_episodes,
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["csv", "jsonl.gz", "parquet", "npz"]),
    has_next=st.booleans(),
    ends=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_shuffled_rows_come_back(lengths: list[int], seed: int, kind: str, has_next: bool, ends: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.choice(100, len(lengths), replace=False)
    episodes = sorted(zip(keys.tolist(), lengths, ends, strict=False))
    rows, kept = [], []
    for key, length, ended in episodes:
        states = (rng.normal(size=(length + 1, 2)) * 10.0 ** rng.integers(-6, 6)).astype(np.float32)
        for t in range(length):
            last = t == length - 1
            row = {"ep": int(key), "t": 3 * t, "s_2": states[t, 0], "s_10": states[t, 1]}
            row |= {
                "n_2": states[t + 1, 0],
                "n_10": states[t + 1, 1],
                "done": ended and last,
                "cut": not ended and last,
            }
            rows.append({name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()})
            rows[-1] |= {"a_1": float(rng.uniform(-5, 5)), "r": float(rng.normal())}
            if has_next or ended or not last:
                kept.append(rows[-1])
    table, want = pl.DataFrame(rows).sample(fraction=1, shuffle=True, seed=seed), pl.DataFrame(kept)
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("MINARI_DATASETS_PATH")
        os.environ["MINARI_DATASETS_PATH"] = f"{folder}/minari"
        try:
            import_table(table, Path(folder) / f"log.{kind}", **({} if has_next else {"next_obs": None}))
            data = load("made/log-v0")
        finally:
            os.environ.pop("MINARI_DATASETS_PATH")
            os.environ |= {} if before is None else {"MINARI_DATASETS_PATH": before}
    np.testing.assert_array_equal(data.obs, want.select("s_2", "s_10").to_numpy().astype(np.float32))
    np.testing.assert_array_equal(data.action[:, 0], want["a_1"].to_numpy().astype(np.float32))
    np.testing.assert_array_equal(data.reward, want["r"].to_numpy().astype(np.float32))
    assert data.terminated.tolist() == want["done"].to_list()
    if has_next:
        np.testing.assert_array_equal(data.next_obs, want.select("n_2", "n_10").to_numpy().astype(np.float32))
        assert data.truncated.tolist() == want["cut"].to_list()
    inside = ~(data.terminated | data.truncated)
    np.testing.assert_array_equal(data.next_obs[inside], data.obs[1:][inside[:-1]])
    assert int(inside.sum()) == len(data) - data.n_episodes
