"""Writing is whole or not at all; what cannot be read is refused in one line."""

import errno
import os

import numpy as np
import pytest

from dnastudy.files import DiskFull, InputError, atomic_folder, atomic_path, read_json, sha256, write_json


def full_disk(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with atomic_path(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "stale").write_text("old")
    with atomic_folder(folder) as partial:
        (partial / "fresh").write_text("new")
        assert names(folder) == ["stale"]
    assert names(folder) == ["fresh"] and names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_folder_leaves_the_old_one(tmp_path, error):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "kept").write_text("old")
    with pytest.raises(error), atomic_folder(folder) as partial:
        (partial / "half").write_text("new")
        raise error
    assert names(folder) == ["kept"] and names(tmp_path) == ["out"]


def test_a_folder_that_cannot_take_its_name_puts_the_old_one_back(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "kept").write_text("old")
    replace = os.replace

    def fail_on_new(source, target):
        if ".partial-" in str(source):
            full_disk()
        replace(source, target)

    monkeypatch.setattr("os.replace", fail_on_new)
    with pytest.raises(DiskFull), atomic_folder(folder) as partial:
        (partial / "new").write_text("new")
    monkeypatch.undo()
    assert names(folder) == ["kept"] and names(tmp_path) == ["out"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
def test_a_full_disk_is_said_in_one_line_with_the_remedy(tmp_path, writer, code):
    with pytest.raises(DiskFull, match=r"out: the disk is full \(\d+ MB free\); nothing was changed.*again") as caught:
        with writer(tmp_path / "out"):
            raise OSError(code, os.strerror(code))
    assert caught.value.errno == code and "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_full_disk_among_several_files_names_the_one(tmp_path):
    with pytest.raises(DiskFull, match=r"inner: the disk is full"), atomic_path(tmp_path / "outer"):
        with atomic_path(tmp_path / "inner"):
            full_disk()
    assert names(tmp_path) == []


def test_a_full_disk_while_writing_json_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"kept": 1})
    monkeypatch.setattr("pathlib.Path.write_text", lambda *_args, **_keywords: full_disk())
    with pytest.raises(DiskFull):
        write_json(path, {"lost": 2})
    monkeypatch.undo()
    assert read_json(path) == {"kept": 1} and names(tmp_path) == ["a.json"]


def test_another_error_passes_unchanged(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "no")


def test_json_goes_out_and_in(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, None, "ü"]})
    assert read_json(tmp_path / "a.json") == {"b": [1, None, "ü"]}
    assert (tmp_path / "a.json").read_text().endswith("}\n")


def test_numbers_that_json_has_no_word_for_are_null(tmp_path):
    write_json(tmp_path / "a.json", {"a": float("inf"), "b": [(-float("inf"), 1.5), {"c": float("nan")}]})
    assert read_json(tmp_path / "a.json") == {"a": None, "b": [[None, 1.5], {"c": None}]}
    write_json(tmp_path / "a.json", [np.float32("inf"), np.float64("nan"), np.float32(0.5), np.int64(2)])
    assert read_json(tmp_path / "a.json") == [None, None, 0.5, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.json: no such file"),
        (b"{", "a.json: not readable as JSON"),
        (b"\xff", "a.json: not readable as JSON"),
    ],
)
def test_bad_json_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json(tmp_path / "a.json")


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
