"""Chains: read, checked, and intervals carried over them on either strand."""

import gzip

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import fetch
from dnastudy.genes.intervals import read_intervals
from dnastudy.genes.tracks import lift, read_chain

# chr1 10-40 goes to chr1 110-137 with 5 bases lost and 2 put in; chr1 50-60 goes to the reverse strand of chr2 (100 b).
CHAINS = """\
# made by hand
chain 900 1 1000 + 10 40 chr1 2000 + 110 137 1
10 5 2
15

chain 90 chr1 1000 + 50 60 chr2 100 - 20 30 2
10
"""


def write(folder, content, name="a.chain"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(*rows):
    return pd.DataFrame(rows, columns=["contig", "start", "end", "strand"])


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_are_read_with_their_strand(tmp_path, packed):
    chains = read_chain(write(tmp_path, gzip.compress(CHAINS.encode()) if packed else CHAINS))
    assert list(chains) == ["chr1"]
    assert list(chains["chr1"].itertuples(index=False, name=None)) == [
        (10, 20, "chr1", 110, "+"),
        (25, 40, "chr1", 122, "+"),
        (50, 60, "chr2", 70, "-"),
    ]


def test_only_intervals_inside_one_block_are_lifted(tmp_path):
    intervals = table(
        ("chr1", 10, 20, "+"),  # the whole first block
        ("chr1", 18, 22, "+"),  # runs into the gap
        ("chr1", 15, 30, "+"),  # spans it
        ("chr1", 20, 25, "+"),  # is the gap
        ("chr1", 30, 33, "-"),
        ("chr1", 50, 53, "+"),
        ("chr1", 90, 99, "+"),
        ("chr9", 10, 20, "+"),
    ).assign(name=list("abcdefgh"))
    lifted, counts = lift(intervals, read_chain(write(tmp_path, CHAINS)))
    assert counts == {"lifted": 3, "across_blocks": 2, "not_covered": 3}
    assert list(lifted.itertuples(name=None)) == [
        (0, "chr1", 110, 120, "+", "a"),
        (4, "chr1", 127, 130, "-", "e"),
        (5, "chr2", 77, 80, "-", "f"),
    ]


def test_nothing_lifts_to_nothing(tmp_path):
    lifted, counts = lift(table(("chr9", 1, 2, "+")), read_chain(write(tmp_path, CHAINS)))
    assert (list(lifted.columns), len(lifted)) == (["contig", "start", "end", "strand"], 0)
    assert counts == {"lifted": 0, "across_blocks": 0, "not_covered": 1}


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6),
    st.sampled_from("+-"),
    st.lists(st.tuples(st.integers(0, 70), st.integers(1, 8)), min_size=1, max_size=12),
)
def test_lift_agrees_with_carrying_each_base(tmp_path_factory, blocks, strand, spans):
    blocks = [(length, gap or 1, other) for length, gap, other in blocks]
    blocks[-1] = (blocks[-1][0], 0, 0)
    first = sum(length + gap for length, gap, _ in blocks)
    second = sum(length + other for length, _, other in blocks)
    lines = "\n".join(f"{a} {b} {c}" for a, b, c in blocks[:-1])
    head = f"chain 1 chr1 500 + 3 {3 + first} chr2 200 {strand} 7 {7 + second} 1\n"
    path = write(tmp_path_factory.mktemp("chain"), f"{head}{lines}\n{blocks[-1][0]}\n")
    carried, here, there = {}, 3, 7
    for number, (length, gap, other) in enumerate(blocks):
        for base in range(length):
            carried[here + base] = number, there + base if strand == "+" else 199 - there - base
        here, there = here + length + gap, there + length + other
    expected = []
    for start, length in spans:
        bases = [carried.get(base) for base in range(start, start + length)]
        if None not in bases and len({number for number, _ in bases}) == 1:
            places = [place for _, place in bases]
            expected.append(("chr2", min(places), max(places) + 1))
    intervals = pd.DataFrame([("chr1", start, start + length) for start, length in spans])
    lifted, counts = lift(intervals.set_axis(["contig", "start", "end"], axis=1), read_chain(path))
    assert list(lifted.itertuples(index=False, name=None)) == expected
    assert sum(counts.values()) == len(spans)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CHAINS.replace("10 5 2", "10 5"), r"a.chain, line 3: expected a block's length, .* found '10 5'"),
        (CHAINS.replace("10 5 2", "10 5 x"), r"a.chain, line 3: expected a block's length"),
        (CHAINS.replace("1000 + 10 40", "1000 - 10 40"), r"a.chain, line 2: expected a chain's score, contig"),
        (CHAINS.replace(" 110 137 1", ""), r"a.chain, line 2: expected a chain's score"),
        (CHAINS.replace("\n15\n", "\n14\n"), r"line 6: expected the chain before it to end at 40 and 137.* 39 and 136"),
        (CHAINS.replace("50 60", "50 61"), r"line 7: expected the chain before it to end at 61 and 30"),
        ("10 5 2\n", r"a.chain, line 1: expected a line that begins with `chain`; found '10 5 2'"),
        (CHAINS.replace("50 60", "30 40"), r"a.chain: two blocks share base 31 of chr1; expected each base in one"),
        (gzip.compress(CHAINS.encode() * 9, mtime=0)[:-12], r"a.chain: truncated or damaged gzip"),
        ("", r"a.chain: expected chains .*, found none. Fetch the file again"),
        (gzip.compress(b"# a remark\n", mtime=0), r"a.chain: expected chains"),
        ("chain 900 1 1000 + 10 10 chr1 2000 + 110 110 1\n", r"a.chain: expected chains"),
        (b"\xff\xfe", r"a.chain: cannot be read as chains"),
    ],
)
def test_bad_chains_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_chain(write(tmp_path, content))


@pytest.mark.data
@pytest.mark.parametrize(
    ("contig", "read", "counts", "turned"),
    [
        ("chr19", 5491, {"lifted": 5464, "across_blocks": 27, "not_covered": 0}, 0),
        # Five more land on chr22_KI270879v1_alt, and three on the other strand of chr22.
        ("chr22", 3325, {"lifted": 3300, "across_blocks": 25, "not_covered": 0}, 3),
    ],
)
def test_real_intervals_lift(contig, read, counts, turned):
    files = fetch("regulation-hg38", members=["ctcf.parquet", "chain.txt"])
    track = read_intervals(files["ctcf.parquet"])
    track = track[track["contig"] == contig].assign(strand="+")
    lifted, found = lift(track, read_chain(files["chain.txt"]))
    here = lifted[lifted["contig"] == contig]
    assert (len(track), found, (here["strand"] == "-").sum()) == (read, counts, turned)
    assert len(here) == {"chr19": 5464, "chr22": 3295}[contig]
    assert ((here["end"] - here["start"]) == (track["end"] - track["start"])[here.index]).all()
