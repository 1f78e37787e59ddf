"""Checkpoints: whole or not there, the newest sound one is used, and a reader changes nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orl.errors import DataError, UnwritableError
from orl.files import TEMPORARY
from orl.runs import checkpoints as module
from orl.runs.checkpoints import Checkpoints, read_latest
from orl.runs.seals import fault, steps

TEMPLATE = {"x": np.zeros(2, np.float32)}


def items(value: float) -> dict[str, Any]:
    return {"state": {"x": np.full(2, value, np.float32)}, "model": {"x": np.full(2, -value, np.float32)}}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Checkpoints]:
    """Steps 1 and 2."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2):
        checkpoints.save(step, items(step))
    yield checkpoints
    checkpoints.close()


def a_file_of(folder: Path, item: str) -> Path:
    """The largest file of an item."""
    return max((each for each in (folder / item).rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(("damaged", "left"), [((), [3, 2]), ((3,), [3, 2, 1]), ((2,), [3, 2, 1]), ((1,), [3, 2])])
def test_what_a_killed_save_had_still_to_remove_goes(
    two: Checkpoints, tmp_path: Path, damaged: tuple[int, ...], left: list[int]
) -> None:
    """Killed after step 3 appeared and before step 1 went. Two sound ones are kept, and what is newer than them."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "1", tmp_path / "1")
    two.save(3, items(3))
    shutil.copytree(tmp_path / "1", folder / "1")
    for step in damaged:
        flip_a_bit(a_file_of(folder / str(step), "state"))
    Checkpoints(folder).close()
    assert steps(folder) == left


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "unsealed half"])
def test_a_damaged_newest_one_is_passed_over_and_written_again(two: Checkpoints, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "checkpoints"
    file = a_file_of(folder / "2", "state")
    if damage == "flip":
        flip_a_bit(file)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "remove":
        file.unlink()
    else:
        (folder / "2" / "seal.json").unlink()
        (folder / "2" / "_CHECKPOINT_METADATA").unlink()
    with pytest.warns(UserWarning, match="checkpoint 2 in .* is passed over"):
        assert two.latest() == 1
    assert two.restore(1, state=TEMPLATE)["state"]["x"].tolist() == [1, 1]
    two.save(2, items(5))
    assert two.latest() == 2
    assert two.restore(2, state=TEMPLATE)["state"]["x"].tolist() == [5, 5]
    assert sorted(os.listdir(folder)) == ["1", "2"]


def test_steps_that_were_passed_over_do_not_count_among_the_two_that_are_kept(two: Checkpoints, tmp_path: Path) -> None:
    two.save(9, items(9))
    flip_a_bit(a_file_of(tmp_path / "checkpoints" / "9", "state"))
    for step in (3, 4):
        two.save(step, items(step))
        assert two.latest() == step
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["3", "4"]


def test_where_every_one_is_damaged_the_run_does_not_quietly_begin_again(two: Checkpoints, tmp_path: Path) -> None:
    for step in "12":
        flip_a_bit(a_file_of(tmp_path / "checkpoints" / step, "model"))
    with (
        pytest.warns(UserWarning, match="passed over"),
        pytest.raises(DataError, match=r"cannot restore checkpoint 2 .* --force"),
    ):
        two.latest()


def test_a_reader_minds_only_what_it_reads_and_changes_nothing(two: Checkpoints, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    flip_a_bit(a_file_of(folder / "2", "state"))
    (folder / f"{TEMPORARY}3").mkdir()  # another process is writing it
    step, found = read_latest(folder, model=TEMPLATE)
    assert (step, found["model"]["x"].tolist()) == (2, [-2, -2])
    with pytest.warns(UserWarning, match="passed over"):
        assert read_latest(folder, state=TEMPLATE)[0] == 1
    assert sorted(os.listdir(folder)) == [f"{TEMPORARY}3", "1", "2"]
    Checkpoints(folder).close()  # whoever writes has the folder to himself
    assert sorted(os.listdir(folder)) == ["1", "2"]


def test_an_item_that_a_copy_was_made_without_is_no_fault(two: Checkpoints, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "checkpoints" / "2" / "state")
    assert two.latest() == 2
    assert read_latest(tmp_path / "checkpoints", model=TEMPLATE)[0] == 2
    with pytest.raises(DataError, match="it has no item state"):
        two.restore(2, state=TEMPLATE)


def test_steps_from_before_there_were_seals_are_read(two: Checkpoints, tmp_path: Path) -> None:
    for step in "12":
        (tmp_path / "checkpoints" / step / "seal.json").unlink()
    assert two.latest() == 2
    assert two.restore(2, state=TEMPLATE)["state"]["x"].tolist() == [2, 2]


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"files": 3}', '{"files": {"state": 1}}', "\xff"])
def test_a_seal_that_is_no_seal_is_a_fault(two: Checkpoints, tmp_path: Path, broken: str) -> None:
    step = tmp_path / "checkpoints" / "2"
    assert fault(step) is None
    (step / "seal.json").write_text(broken, encoding="latin-1")
    assert "seal.json cannot be read" in (fault(step) or "")


@pytest.mark.parametrize("moment", ["_write", "seal", "publish_folder"])
def test_a_disk_that_fills_up_while_saving_leaves_the_steps_before(
    two: Checkpoints, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Checkpoints if moment == "_write" else module, moment, full)
    with pytest.raises(UnwritableError, match=r"cannot write .*/3: No space left on device; what was saved before is"):
        two.save(3, items(3))
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["1", "2"]
    assert two.restore(2, state=TEMPLATE)["state"]["x"].tolist() == [2, 2]
    two.save(3, items(3))
    assert two.latest() == 3


def test_rows_are_on_disk_before_the_step_that_stands_for_them(
    two: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    synced: list[str] = []
    publish = module.publish_folder

    def published(built: Path, target: Path) -> None:
        synced.append(target.name)
        publish(built, target)

    monkeypatch.setattr(module, "sync_file", lambda file: synced.append(file.name))
    monkeypatch.setattr(module, "publish_folder", published)
    two.save(3, items(3))
    assert synced == ["metrics.jsonl", "3"]


@pytest.mark.parametrize(
    ("template", "difference"),
    [
        ({"x": np.zeros(3, np.float32)}, r"state/x is float32 \[2\] there and float32 \[3\] now"),
        ({"x": np.zeros(2, np.float32), "y": np.zeros((), np.int32)}, r"state/y is absent there and int32 \[\] now"),
        ({"z": {"x": np.zeros(2, np.float32)}}, r"state/z/x is absent there and float32 \[2\] now"),
    ],
)
def test_other_arrays_are_explained_as_a_difference(two: Checkpoints, template: Any, difference: str) -> None:
    with pytest.raises(DataError, match=rf"cannot restore checkpoint 2 in .*: {difference}; delete that step's folder"):
        two.restore(2, state=template)
    with pytest.raises(DataError, match="it has no item policy"):
        two.restore(2, policy=TEMPLATE)


def test_no_file_of_a_step_tells_where_it_was_written(two: Checkpoints, tmp_path: Path) -> None:
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert len(files) > 4
    assert not [each for each in files if str(tmp_path).encode() in each.read_bytes()]
