"""FASTA to base codes: letters, line ends, compression, identity, and every refusal."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes.codes import decode, encode, m5, reverse_complement
from dnastudy.genes.fasta import canonical_contig, read_fasta, read_names


def write(folder, content, name="input.fa"):
    path = folder / name
    path.write_bytes(content)
    return path


def read(folder, content, name="input.fa"):
    return list(read_fasta(write(folder, content, name)))


def test_encode_takes_either_case_and_makes_the_rest_unknown():
    codes = encode("ACGTacgtNnRU-")
    assert codes.dtype == np.uint8
    assert codes.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 4, 4, 4, 4]
    assert encode(b"GATTACA").tolist() == [2, 0, 3, 3, 0, 1, 0]


def test_decode_spells_unknown_as_n():
    assert decode(np.array([0, 1, 2, 3, 4], dtype=np.uint8)) == "ACGTN"


def test_reverse_complement_keeps_unknown_in_place():
    assert decode(reverse_complement(encode("AACGNT"))) == "ANCGTT"


@given(st.text(alphabet="ACGTN"))
def test_codes_carry_a_sequence_there_and_back(sequence):
    codes = encode(sequence)
    assert decode(codes) == sequence
    assert decode(reverse_complement(reverse_complement(codes))) == sequence


def test_m5_is_the_md5_of_upper_case_letters():
    # The example of the SAM specification, section 1.3.2.
    assert m5("ACGTACGTACGTACGTACGTACGT...12345!!!") == "dfabdbb36e239a6da88957841f32b8e4"
    assert m5("gattaca") == m5(b"GATTACA") == m5(encode("GATTACA"))


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("19", "chr19"),
        ("chr19", "chr19"),
        ("Chr19", "chr19"),
        ("MT", "chrM"),
        ("chrM", "chrM"),
        ("X", "chrX"),
        ("chr19:10000001-12000000", "chr19:10000001-12000000"),
        ("KI270728.1", "KI270728.1"),
        ("IV", "IV"),
    ],
)
def test_canonical_contig(name, canonical):
    assert canonical_contig(name) == canonical


def test_records_come_in_order_with_counts(tmp_path):
    first, second = read(tmp_path, b">one a description\nACGT\nacgn\nRY\n>two\nGGG\n")
    assert (first.name, decode(first.codes)) == ("one", "ACGTACGNNN")
    assert first.changes == {
        "lower_case_read_as_upper": 4,
        "iupac_read_as_unknown": 2,
        "unknown": 3,
    }
    assert first.m5 == m5("ACGTACGNRY")
    assert (second.name, decode(second.codes), second.changes["unknown"]) == ("two", "GGG", 0)


def test_what_is_not_wanted_is_not_read(tmp_path):
    (tmp_path / "a.fa").write_text(">one x\nACGT\n>bad\nAC*T\n>two\nGG\n")
    asked = []
    records = read_fasta(tmp_path / "a.fa", lambda name: asked.append(name) or name != "bad")
    assert [record.name for record in records] == ["one", "two"]
    assert asked == read_names(tmp_path / "a.fa") == ["one", "bad", "two"]


@pytest.mark.parametrize(
    "content",
    [
        b">a\nACGTA\nCG\n>b\nTT\n",
        b">a\nACGTA\nCG\n>b\nTT",
        b">a\r\nACGTA\r\nCG\r\n>b\r\nTT\r\n",
        b">a\r\nACGTA\r\nCG\r\n>b\r\nTT",
        b">a\r\nACGTA\r\nCG\r\n>b\nT\nT",
        b">a\nACGTACG\n>b\nTT\n\n",
        b"; a comment\n>a\nACGTACG\n>b\nTT\n",
    ],
)
def test_line_ends_make_no_difference(tmp_path, content):
    records = read(tmp_path, content)
    assert [(r.name, decode(r.codes)) for r in records] == [("a", "ACGTACG"), ("b", "TT")]


def test_gzip_and_bgzip_are_read_whatever_the_name(tmp_path):
    plain = b">a\nACGT\nAC\n>b\nTT\n"
    blocks = gzip.compress(plain[:9]) + gzip.compress(plain[9:])  # bgzip is gzip in several members
    for name, content in (("a.fa.gz", gzip.compress(plain)), ("b.fa.bgz", blocks), ("c.fa", blocks)):
        assert [decode(record.codes) for record in read(tmp_path, content, name)] == ["ACGTAC", "TT"]


def test_nothing_is_written_beside_the_file(tmp_path):
    path = write(tmp_path, b">a\nACGT\n")
    tmp_path.chmod(0o555)
    try:
        assert len(list(read_fasta(path))) == 1
    finally:
        tmp_path.chmod(0o755)
    assert [entry.name for entry in tmp_path.iterdir()] == ["input.fa"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"input.fa: the file is empty"),
        (b"chr1\t0\t100\n", r"input.fa: not a FASTA file; expected its first line to begin with '>'"),
        (b">a\n>b\nACGT\n", r"input.fa, line 1: record 'a' is empty"),
        (b">a\nACGT\n>b\n", r"input.fa, line 3: record 'b' is empty"),
        (
            b">a\nACGT\n>b\nA\n>a\nC\n",
            r"input.fa, line 5: found a second record named 'a' \(the first is on line 1\)",
        ),
        (b">a\nACGT\n>\nA\n", r"input.fa, line 3: found a nameless record"),
        (b">a\nACGT\nAC!T\nAC\n", r"input.fa, line 3: '!' at base 7 of contig 'a' is no nucleotide code"),
        (b">a\r\nACGT\r\nACGT\r\nAE", r"input.fa, line 4: 'E' at base 10 of contig 'a'"),
        (b">a\nACGT\n>b\nMKLV\n", r"input.fa, line 4: 'L' at base 3 of contig 'b'"),
        (b">a\nAC GT\n", r"input.fa, line 2: ' ' at base 3"),
        (b">a\nACGT\nACGTA\nAC\nACGT\n", r"input.fa: cannot be indexed .*seqkit seq"),
        (b">a\nAC\xc3\xa9T\n", r"input.fa: record 'a' holds characters outside ASCII"),
    ],
)
def test_bad_files_are_refused_with_place_and_remedy(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_truncated_gzip_is_refused(tmp_path):
    whole = gzip.compress(b">a\n" + b"ACGTTGCA" * 1000)
    for content in (whole[:-20], whole[:30], whole[:12] + b"\xff\xff\xff\xff" + whole[16:]):
        with pytest.raises(InputError, match=r"input.fa: truncated or damaged gzip file"):
            read(tmp_path, content)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.fa: cannot be read \(No such file or directory\)"):
        list(read_fasta(tmp_path / "nowhere.fa"))


@pytest.mark.data
def test_chromosomes_have_their_published_identity(chromosomes):
    found = {}
    for name in ("chr19.fa", "chr22.fa"):
        (record,) = read_fasta(chromosomes[name])
        found[name] = (record.m5, len(record.codes), len(record.codes) - record.changes["unknown"])
    assert found == {
        "chr19.fa": ("b0eba2c7bb5c953d1e06a508b5e487de", 58_617_616, 58_440_758),
        "chr22.fa": ("221733a2a15e2de66d33e73d126c5109", 50_818_468, 39_159_777),
    }
