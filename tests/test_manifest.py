"""Manifests are checked, and nothing but the pinned content ever gets a final name."""

import errno
import gzip
import hashlib
import json
import os
import tarfile
import zipfile

import pytest
import yaml
from http_server import running_server
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import DiskFull, InputError
from dnastudy.genes.download import fetch, mismatch, source_of
from dnastudy.genes.manifest import Member, list_manifests, load_manifest

FASTA = b">chr1 a comment\nACGTAC\nGTAC\n"  # ACGTACGTAC
M5 = "45aff2fecf7615d56bc0567dffab9fa8"
SHIPPED = {"chr19-chr22", "grch38", "hg19", "human-genes-paper", "regulation-hg38", "repeats-hg38"}


@pytest.fixture
def server(monkeypatch):
    with running_server(monkeypatch) as server:
        yield server


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def sequence(*sources, m5=M5, length=10):
    return {"kind": "sequence", "contigs": {"chr1": {"m5": m5, "length": length}}, "sources": list(sources)}


def table(content, *sources):
    return {"kind": "table", "sha256": sha256(content), "sources": list(sources)}


def write_manifest(folder, members, **fields):
    manifest = {
        "name": "made",
        "title": "t",
        "description": "d",
        "licence": "l",
        "members": members,
        **fields,
    }
    path = folder / "made.yaml"
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return path


# --- manifests


def test_every_shipped_manifest_is_valid_and_carries_its_own_name():
    assert set(list_manifests()) >= SHIPPED
    for name in list_manifests():
        manifest = load_manifest(name)
        assert manifest.name == name
        assert manifest.licence


def test_the_two_chromosomes_are_pinned_everywhere_to_the_same_sequence():
    default, grch38 = load_manifest("chr19-chr22"), load_manifest("grch38")
    for name, m5, length in [
        ("chr19", "b0eba2c7bb5c953d1e06a508b5e487de", 58_617_616),
        ("chr22", "221733a2a15e2de66d33e73d126c5109", 50_818_468),
    ]:
        for manifest in (default, grch38):
            contig = manifest.members[f"{name}.fa"].contigs[name]
            assert (contig.m5, contig.length) == (m5, length)


@pytest.mark.parametrize("name, bases", [("grch38", 3_088_286_401), ("hg19", 3_095_693_983)])
def test_a_whole_genome_has_all_its_chromosomes(name, bases):
    members = load_manifest(name).members
    sequence = [name for name, member in members.items() if member.kind == "sequence"]
    assert sequence == [f"chr{contig}.fa" for contig in (*range(1, 23), "X", "Y", "M")]
    contigs = [contig for member in members.values() for contig in member.contigs.values()]
    assert sum(contig.length for contig in contigs) == bases
    assert len({contig.m5 for contig in contigs}) == 25
    assert load_manifest(name).contigs["chr22"] == "chr22.fa" and len(load_manifest(name).contigs) == 25


def test_the_papers_tables_are_pinned_by_git_blob():
    blobs = {name: member.git_blob for name, member in load_manifest("human-genes-paper").members.items()}
    assert blobs == {
        "train.csv": "329bba03044cb442f582bdf0a54b1d7e9975e7c7",
        "validation.csv": "42170cb89e465f41332161d6d8e746e01be59584",
        "test.csv": "d7779783061e5f9a39dcc6a9c4a1c73595a3f16f",
        "train_validation.csv": "ed9f0be00055af83bb7a762b12ff4d35d43b4fed",
    }


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"no manifest 'chr19-chr2'; did you mean 'chr19-chr22'\? expected .*grch38"):
        load_manifest("chr19-chr2")
    with pytest.raises(InputError, match=r"mine\.yaml: no such file"):
        load_manifest("mine.yaml")
    for name in ("my_repeat.bed", "tracks/repeats"):
        with pytest.raises(InputError, match=rf"^{name}: no such file"):
            fetch(name)


def test_a_mistyped_field_is_answered_with_the_nearest(tmp_path):
    member = {"kind": "table", "sha265": "0" * 64, "sources": [{"file": "a"}]}
    with pytest.raises(InputError) as caught:
        load_manifest(write_manifest(tmp_path, {"a.csv": member}))
    assert "made.yaml: members.a.csv.sha265: unknown field; did you mean 'sha256'?" in str(caught.value)


@pytest.mark.parametrize(
    "member, complaint",
    [
        ({"kind": "table", "sources": [{"file": "a"}]}, "no identity"),
        ({"kind": "sequence", "sha256": "0" * 64, "sources": [{"file": "a"}]}, "a sequence needs contigs"),
        ({"kind": "table", "sha256": "0" * 63, "sources": [{"file": "a"}]}, r"sha256: string should match"),
        ({"kind": "table", "sha256": "0" * 64, "sources": []}, r"sources: list should have at least 1 item"),
        (table(b"", {"file": "a", "url": "https://a.org/a"}), "exactly one of"),
        (table(b"", {"archive": "a.whl"}), "archive and path .* go together"),
        (table(b"", {"archive": "a.whl", "path": "a"}), r"a\.whl is not among archives"),
        (table(b"", {"url": "ftp://a.org/a"}), "url: string should match"),
    ],
)
def test_what_is_wrong_with_a_member_is_said_in_one_line(tmp_path, member, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        load_manifest(write_manifest(tmp_path, {"a.csv": member}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../a.csv", "/etc/a.csv", "a/b.csv", "..", ".a.csv", "a\\b.csv", ""])
def test_a_member_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="should match pattern"):
        load_manifest(write_manifest(tmp_path, {name: table(b"", {"file": "a"})}))


def test_an_archive_name_that_leaves_the_folder_is_refused(tmp_path):
    archives = {"../a.whl": {"project": "a", "version": "1", "sha256": "0" * 64}}
    with pytest.raises(InputError, match="should match pattern"):
        load_manifest(write_manifest(tmp_path, {"a.csv": table(b"", {"file": "a"})}, archives=archives))


def test_broken_yaml_is_an_input_error(tmp_path):
    (tmp_path / "made.yaml").write_text("name: [")
    with pytest.raises(InputError, match=r"made\.yaml: not readable as YAML.*line 1"):
        load_manifest(tmp_path / "made.yaml")


# --- identity


def check(tmp_path, content, **member):
    (tmp_path / "content").write_bytes(content)
    return mismatch(tmp_path / "content", Member.model_validate({"sources": [{"file": "a"}], **member}))


def test_a_git_blob_id_is_gits_own(tmp_path):
    # What `echo hello | git hash-object --stdin` prints.
    blob = "ce013625030ba8dba906f756967f9e9ca394464a"
    assert check(tmp_path, b"hello\n", kind="table", git_blob=blob) is None
    assert (
        check(tmp_path, b"hello", kind="table", git_blob=blob)
        == f"expected git_blob {blob}, found b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
    )


def test_an_md5_is_of_the_bytes(tmp_path):
    assert check(tmp_path, b"ACGT", kind="table", md5="f1f8f4bf413b16ad135722aa4591043e") is None


@pytest.mark.parametrize(
    "content",
    [
        FASTA,
        b">1\nacgtacgtac\n",
        b">chr1\r\nACGTAC\r\nGTAC\r\n",
        b">chr1\nACGTACGTAC",
        gzip.compress(FASTA, mtime=0),
    ],
    ids=["as pinned", "lower case, under an alias", "CRLF", "no last newline", "gzip"],
)
def test_a_sequence_is_the_same_however_it_is_written(tmp_path, content):
    assert check(tmp_path, content, **sequence({"file": "a"})) is None


@pytest.mark.parametrize(
    "content, complaint",
    [
        (
            b">chr1\nACGTACGTAG\n",
            f"chr1: expected M5 {M5}, 10 bases; found e56ab83e19873aa0aee4088e46cb24a3, 10",
        ),
        (b">chr2\nACGTACGTAC\n", "expected contigs chr1, found chr2"),
        (FASTA + b">chr2\nA\n", "expected contigs chr1, found chr1, chr2"),
        (b"<html>", "not the expected FASTA"),
        (b"", "not the expected FASTA"),
        (gzip.compress(FASTA, mtime=0)[:-9], "not the expected FASTA"),
    ],
    ids=["one base", "other contig", "one more", "web page", "empty", "truncated gzip"],
)
def test_a_sequence_that_differs_is_named(tmp_path, content, complaint):
    assert check(tmp_path, content, **sequence({"file": "a"})).startswith(complaint)


@given(st.text("ACGTN", min_size=1, max_size=200), st.integers(1, 80), st.data())
def test_m5_ignores_case_and_width_but_no_base(tmp_path_factory, bases, width, data):
    folder = tmp_path_factory.mktemp("m5")
    member = sequence({"file": "a"}, m5=hashlib.md5(bases.encode()).hexdigest(), length=len(bases))
    lines = "\n".join(bases[start : start + width].lower() for start in range(0, len(bases), width))
    assert check(folder, f">1\n{lines}\n".encode(), **member) is None
    place = data.draw(st.integers(0, len(bases) - 1))
    other = data.draw(st.sampled_from(sorted(set("ACGTN") - {bases[place]})))
    changed = bases[:place] + other + bases[place + 1 :]
    assert "expected M5" in check(folder, f">1\n{changed}\n".encode(), **member)


# --- fetching over HTTP


def test_a_file_is_fetched_once_and_its_source_recorded(server, tmp_path):
    server.serve("/a.csv", b"a,b\n1,2\n")
    manifest = write_manifest(tmp_path, {"a.csv": table(b"a,b\n1,2\n", {"url": server.url("/a.csv")})})
    for _ in range(3):
        files = fetch(manifest, dest=tmp_path / "data")
        assert files == {"a.csv": tmp_path / "data/a.csv"}
        assert files["a.csv"].read_bytes() == b"a,b\n1,2\n"
    assert server.asked == ["/a.csv"]
    assert source_of(files["a.csv"]) == server.url("/a.csv")
    assert sorted(os.listdir(tmp_path / "data")) == ["a.csv", "a.csv.source.json"]


def test_a_dropped_connection_is_made_good(server, tmp_path):
    server.serve("/chr1.fa", FASTA, drop_after=[7])
    manifest = write_manifest(tmp_path, {"chr1.fa": sequence({"url": server.url("/chr1.fa")})})
    assert fetch(manifest, dest=tmp_path / "data")["chr1.fa"].read_bytes() == FASTA
    assert server.asked == ["/chr1.fa"] * 2


def test_a_transfer_truncated_for_good_leaves_nothing_usable(server, tmp_path):
    server.serve("/chr1.fa", FASTA, drop_after=[7] * 9)
    manifest = write_manifest(tmp_path, {"chr1.fa": sequence({"url": server.url("/chr1.fa")})})
    with pytest.raises(InputError, match=r"made: chr1\.fa could not be had .* 3 times\. Check the network"):
        fetch(manifest, dest=tmp_path / "data")
    assert os.listdir(tmp_path / "data") == []


def test_wrong_bytes_are_named_and_left_aside(server, tmp_path):
    server.serve("/a.csv", b"wrong")
    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", {"url": server.url("/a.csv")})})
    with pytest.raises(InputError) as caught:
        fetch(manifest, dest=tmp_path / "data")
    assert f"expected sha256 {sha256(b'right')}, found {sha256(b'wrong')}" in str(caught.value)
    assert "(left aside as a.csv.rejected)" in str(caught.value)
    assert os.listdir(tmp_path / "data") == ["a.csv.rejected"]
    assert (tmp_path / "data/a.csv.rejected").read_bytes() == b"wrong"


def test_a_wrong_sequence_is_named_by_its_m5(server, tmp_path):
    server.serve("/chr1.fa", b">chr1\nACGT\n")
    manifest = write_manifest(tmp_path, {"chr1.fa": sequence({"url": server.url("/chr1.fa")})})
    with pytest.raises(InputError, match=f"expected M5 {M5}, 10 bases; found f1f8f4bf413b16ad135722aa4591043e, 4"):
        fetch(manifest, dest=tmp_path / "data")


def test_the_next_source_is_tried_after_a_404_and_after_wrong_bytes(server, tmp_path):
    server.serve("/wrong", b"wrong")
    server.serve("/right", b"right")
    sources = [{"url": server.url(path)} for path in ("/none", "/wrong", "/right")]
    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", *sources)})
    path = fetch(manifest, dest=tmp_path / "data")["a.csv"]
    assert path.read_bytes() == b"right"
    assert source_of(path) == server.url("/right")
    assert server.asked == ["/none", "/wrong", "/right"]


def test_a_full_disk_stops_everything_and_leaves_nothing(server, tmp_path, monkeypatch):
    def write(source, target, *, unpack):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dnastudy.genes.download.copy", write)
    server.serve("/a.csv", b"right")
    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", *[{"url": server.url("/a.csv")}] * 2)})
    with pytest.raises(DiskFull, match=r"a\.csv: the disk is full"):
        fetch(manifest, dest=tmp_path / "data")
    assert server.asked == ["/a.csv"]
    assert os.listdir(tmp_path / "data") == []


def test_an_interrupted_fetch_leaves_nothing_half_written(server, tmp_path, monkeypatch):
    def interrupt(url, target):
        target.write_bytes(b"ri")
        raise KeyboardInterrupt

    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", {"url": server.url("/a.csv")})})
    with monkeypatch.context() as patched:
        patched.setattr("dnastudy.genes.download.download", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(manifest, dest=tmp_path / "data")
    assert os.listdir(tmp_path / "data") == []
    server.serve("/a.csv", b"right")
    assert fetch(manifest, dest=tmp_path / "data")["a.csv"].read_bytes() == b"right"


def test_every_source_is_named_when_all_fail(server, tmp_path):
    sources = [{"url": server.url("/one")}, {"file": "two"}]
    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", *sources)})
    with pytest.raises(InputError) as caught:
        fetch(manifest, dest=tmp_path / "data")
    assert f"{server.url('/one')}: HTTP 404 Not Found; file two: no such file." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gzip_is_unpacked_unless_the_member_is_a_gz_itself(server, tmp_path):
    packed = gzip.compress(FASTA)
    server.serve("/chr1.fa.gz", packed)
    source = {"url": server.url("/chr1.fa.gz"), "sha256": sha256(packed)}
    manifest = write_manifest(tmp_path, {"chr1.fa": sequence(source), "chr1.fa.gz": sequence(source)})
    files = fetch(manifest, dest=tmp_path / "data")
    assert files["chr1.fa"].read_bytes() == FASTA
    assert files["chr1.fa.gz"].read_bytes() == packed


def test_a_digest_stated_for_one_source_is_checked_before_unpacking(server, tmp_path):
    server.serve("/chr1.fa.gz", gzip.compress(FASTA))
    source = {"url": server.url("/chr1.fa.gz"), "md5": "0" * 32}
    manifest = write_manifest(tmp_path, {"chr1.fa": sequence(source)})
    with pytest.raises(InputError, match=f"expected md5 {'0' * 32}, found [0-9a-f]{{32}} "):
        fetch(manifest, dest=tmp_path / "data")
    assert os.listdir(tmp_path / "data") == ["chr1.fa.rejected"]


def test_a_tampered_file_is_noticed_put_aside_and_fetched_again(server, tmp_path):
    server.serve("/a.csv", b"right")
    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", {"url": server.url("/a.csv")})})
    path = fetch(manifest, dest=tmp_path / "data")["a.csv"]
    path.write_bytes(b"wrong")
    assert fetch(manifest, dest=tmp_path / "data")["a.csv"].read_bytes() == b"right"
    assert (tmp_path / "data/a.csv.rejected").read_bytes() == b"wrong"
    assert server.asked == ["/a.csv"] * 2


def test_a_file_that_was_only_touched_is_hashed_and_kept(server, tmp_path):
    server.serve("/a.csv", b"right")
    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", {"url": server.url("/a.csv")})})
    path = fetch(manifest, dest=tmp_path / "data")["a.csv"]
    os.utime(path, (0, 0))
    fetch(manifest, dest=tmp_path / "data")
    assert server.asked == ["/a.csv"]


def test_a_manifest_that_changes_its_mind_is_not_fooled_by_an_old_receipt(server, tmp_path):
    server.serve("/a.csv", b"old")
    fetch(
        write_manifest(tmp_path, {"a.csv": table(b"old", {"url": server.url("/a.csv")})}),
        dest=tmp_path / "data",
    )
    server.serve("/a.csv", b"new")
    changed = write_manifest(tmp_path, {"a.csv": table(b"new", {"url": server.url("/a.csv")})})
    assert fetch(changed, dest=tmp_path / "data")["a.csv"].read_bytes() == b"new"


def test_a_file_put_there_by_hand_is_used_once_verified(tmp_path):
    manifest = write_manifest(tmp_path, {"a.csv": table(b"right", {"file": "nowhere"})})
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.csv").write_bytes(b"right")
    assert source_of(fetch(manifest, dest=tmp_path / "data")["a.csv"]) == "found in place"


def test_only_the_members_asked_for_are_fetched(server, tmp_path):
    server.serve("/b.csv", b"b")
    members = {name: table(name[:1].encode(), {"url": server.url(f"/{name}")}) for name in ("a.csv", "b.csv")}
    manifest = write_manifest(tmp_path, members)
    assert list(fetch(manifest, dest=tmp_path / "data", members=["b.csv"])) == ["b.csv"]
    assert server.asked == ["/b.csv"]
    with pytest.raises(InputError, match=r"no member 'b\.cs'; did you mean 'b\.csv'\? expected one of a\.csv, b\.csv"):
        fetch(manifest, dest=tmp_path / "data", members=["b.cs"])


def test_files_go_to_the_folder_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("DNASTUDY_DATA", str(tmp_path / "elsewhere"))
    (tmp_path / "a.csv").write_bytes(b"a")
    manifest = write_manifest(tmp_path, {"a.csv": table(b"a", {"file": "a.csv"})})
    assert fetch(manifest) == {"a.csv": tmp_path / "elsewhere/made/a.csv"}


# --- fetching from a package index


def pack(folder, filename, name, content):
    path = folder / filename
    if filename.endswith(".whl"):
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr(name, content)
    else:
        (folder / "member").write_bytes(content)
        with tarfile.open(path, "w:gz") as packed:
            packed.add(folder / "member", name)
    return path.read_bytes()


def package_manifest(folder, filename, package, digest=None):
    archives = {filename: {"project": "genes", "version": "1.0", "sha256": digest or sha256(package)}}
    source = {"archive": filename, "path": "genes-1.0/chr1.fa.gz"}
    members = {"chr1.fa": sequence(source), "same.fa": sequence(source)}
    return write_manifest(folder, members, archives=archives)


@pytest.mark.parametrize("filename", ["genes-1.0-py3-none-any.whl", "genes-1.0.tar.gz"])
def test_members_come_out_of_a_package_that_is_downloaded_once(server, tmp_path, monkeypatch, filename):
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))
    package = pack(tmp_path, filename, "genes-1.0/chr1.fa.gz", gzip.compress(FASTA))
    server.serve_project("genes", {filename: package})
    files = fetch(package_manifest(tmp_path, filename, package), dest=tmp_path / "data")
    assert files["chr1.fa"].read_bytes() == files["same.fa"].read_bytes() == FASTA
    assert server.asked == ["/simple/genes/", f"/files/{filename}"]
    assert source_of(files["chr1.fa"]) == f"{filename}:genes-1.0/chr1.fa.gz"


def test_a_package_that_the_index_publishes_otherwise_is_not_even_downloaded(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))
    server.serve_project("genes", {"genes-1.0.tar.gz": b"other"})
    manifest = package_manifest(tmp_path, "genes-1.0.tar.gz", b"pinned")
    with pytest.raises(InputError, match=f"expected sha256 {sha256(b'pinned')}, the package index publishes"):
        fetch(manifest, dest=tmp_path / "data")
    assert server.asked == ["/simple/genes/"]


def test_a_package_with_other_bytes_than_published_is_left_aside(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))
    pinned = sha256(b"pinned")
    server.serve_project("genes", {"genes-1.0.tar.gz": b"other"}, digests={"genes-1.0.tar.gz": pinned})
    manifest = package_manifest(tmp_path, "genes-1.0.tar.gz", b"pinned")
    with pytest.raises(InputError, match=rf"found {sha256(b'other')} \(left aside as genes-1\.0\.tar\.gz\.rejected\)"):
        fetch(manifest, dest=tmp_path / "data")
    assert os.listdir(tmp_path / "data/archives") == ["genes-1.0.tar.gz.rejected"]


def test_a_tampered_package_is_fetched_again(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))
    package = pack(tmp_path, "genes-1.0.tar.gz", "genes-1.0/chr1.fa.gz", FASTA)
    server.serve_project("genes", {"genes-1.0.tar.gz": package})
    manifest = package_manifest(tmp_path, "genes-1.0.tar.gz", package)
    fetch(manifest, dest=tmp_path / "data", members=["chr1.fa"])
    (tmp_path / "data/archives/genes-1.0.tar.gz").write_bytes(b"tampered")
    assert fetch(manifest, dest=tmp_path / "data")["same.fa"].read_bytes() == FASTA
    assert server.asked == ["/simple/genes/", "/files/genes-1.0.tar.gz"] * 2


# --- the real thing


@pytest.mark.data
def test_the_two_chromosomes_are_really_there():
    files = fetch("chr19-chr22")
    assert list(files) == ["chr19.fa", "chr19.gff3", "chr22.fa", "chr22.gtf"]
    assert [path.stat().st_size for path in files.values()] == [
        59_594_634,
        25_104_840,
        51_665_450,
        37_876_352,
    ]
    receipt = json.loads(files["chr22.fa"].with_name("chr22.fa.source.json").read_text())
    assert receipt["verified"]["contigs"] == {"chr22": {"m5": "221733a2a15e2de66d33e73d126c5109", "length": 50_818_468}}
