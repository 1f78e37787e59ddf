"""Ids, mappings and metadata that name places outside their folder: refused, nothing read or written there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_logs import ACTIONS, BOX, minari_episode, write_minari
from made_tables import FLAT, make_table, mapping_for, write_table

from orl.data import catalog
from orl.data.importing.mapping import read_mapping, save_mapping
from orl.data.importing.run import import_dataset
from orl.data.local import data_folder, is_dataset_id
from orl.data.readers.minari import read_minari
from orl.errors import DataError, UsageError

IDS = [
    "../../x-v0", "a/../../x-v0", "/etc/x-v0", "..", "../x-v0", "a//x-v0", "a/x-v0/", "a\\..\\x-v0", "a\0b-v0",
    "a\nb-v0", "x-v0\n", "a\x1b[2J-v0", "C:/x-v0", "~/x-v0", "", "./x-v0",
]  # fmt: skip


@pytest.mark.parametrize("name", IDS)
def test_an_id_cannot_leave_the_datasets_folder(name: str, minari_root: Path, tmp_path: Path) -> None:
    write_minari(tmp_path, "x-v0", [minari_episode(2)])  # where ../x-v0 would lead
    assert not is_dataset_id(name)
    with pytest.raises(DataError, match="is not a dataset id"):
        data_folder(name)
    with pytest.raises(DataError):
        catalog.load(name)
    with pytest.raises(DataError):
        catalog.download(name)


@pytest.mark.parametrize("name", IDS)
def test_an_import_cannot_write_outside_the_datasets_folder(name: str, minari_root: Path, tmp_path: Path) -> None:
    log = write_table(make_table(), tmp_path / "log.csv")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="--id"):
        import_dataset(mapping_for(log, id=name))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dataset_folder_of_a_wrong_name_is_not_listed_as_readable(minari_root: Path) -> None:
    write_minari(minari_root, "a b\x1b[2J-v0", [minari_episode(2)])
    with pytest.warns(UserWarning, match="left out of the list"):
        assert "a b\x1b[2J-v0" not in [info.id for info in catalog.list_datasets()]


def mapping_file(path: Path, *files: Path | str) -> Path:
    """A mapping on disk that names these files."""
    saved = mapping_for(*[Path(file) for file in files])
    save_mapping(saved, path)
    return path


def test_a_mapping_reads_its_own_folder_and_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "here" / "logs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for file in (tmp_path / "own" / "log.csv", Path("logs/log.csv")):
        write_table(make_table(), file)
        assert read_mapping(mapping_file(tmp_path / "own" / "map.toml", file), {}).files == (str(file),)


def test_a_mapping_that_names_files_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.chdir(own)
    secret = write_table(make_table(), tmp_path / "secret.csv")
    (own / "link.csv").symlink_to(secret)
    for name in (str(secret), "../secret.csv", "link.csv", "/etc/passwd", "logs/../../secret.csv"):
        mapping = mapping_file(own / "map.toml", name)
        with pytest.raises(UsageError, match=r"map.toml names '.*', which is outside its folder; name the files on"):
            read_mapping(mapping, {})
    # the user's own word on the command line is enough
    assert read_mapping(mapping, {"files": [str(secret)]}).files == (str(secret),)
    (own / "map.toml").write_text('files = ["a\\u0000b.csv"]\nid = "made/log-v0"\n')
    with pytest.raises(UsageError, match="outside its folder"):
        read_mapping(own / "map.toml", {})
    assert FLAT["reward"] == "r"


@pytest.mark.parametrize(
    "space",
    [
        {"type": "os:system", "shape": [2], "command": "true"},
        {"type": "evil_module.Box", "dtype": "float32", "shape": [2], "low": [-1, -1], "high": [1, 1]},
        {"type": ["Box"], "shape": [2]},
        {"type": "Graph"},
        {"type": "__import__('os').abort()"},
    ],
)
@pytest.mark.parametrize("key", ["observation_space", "action_space"])
def test_spaces_are_values_and_their_types_never_imported(key: str, space: Any, minari_root: Path) -> None:
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)], **{key: json.dumps(space)})
    with pytest.raises(DataError, match=r"toy/arrow-v0: (observation is a|actions are) "):
        read_minari("toy/arrow-v0")


def test_the_dtype_of_a_space_is_a_word_and_never_evaluated(minari_root: Path) -> None:
    dtype = "float32'); __import__('os').abort(); ('"
    changes = {"observation_space": json.dumps(BOX | {"dtype": dtype}), "action_space": json.dumps(ACTIONS)}
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)], **changes)
    assert read_minari("toy/arrow-v0").obs.shape == (2, 2)


@pytest.mark.parametrize("depth", [40, 100_000])
def test_spaces_that_are_nested_without_end_are_refused(depth: int, minari_root: Path) -> None:
    text = '{"type": "Dict", "subspaces": {"x": ' * depth + json.dumps(BOX) + "}}" * depth
    write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)], observation_space=text)
    with pytest.raises(DataError, match=r"toy/arrow-v0: .*(nested more than 32 deep|no readable observation_space)"):
        read_minari("toy/arrow-v0")


def test_metadata_that_are_nested_without_end_are_refused(minari_root: Path) -> None:
    file = write_minari(minari_root, "toy/arrow-v0", [minari_episode(2)]).parent / "metadata.json"
    file.write_text("[" * 200_000)
    with pytest.raises(DataError, match=r"cannot read .*metadata.json"):
        read_minari("toy/arrow-v0")
