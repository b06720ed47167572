"""Windows and what lies in them, by hand and against a base-by-base count; and what they can be asked."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.genes.intervals import covered, touched
from dnastudy.tasks import probe_windows

CODES = np.random.default_rng(0).integers(4, size=20_000).astype(np.uint8)


def intervals(*rows, **columns) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end"]).assign(**columns)


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=6)


@given(spans, spans)
def test_bases_covered_are_those_counted_one_by_one(marked, asked):
    mask = np.zeros(100, dtype=bool)
    for start, length in marked:
        mask[start : start + length] = True
    table = intervals(*[(start, start + length) for start, length in marked])
    starts = np.array([start for start, _ in asked], dtype=np.int64)
    ends = starts + np.array([length for _, length in asked], dtype=np.int64)
    expected = [mask[start:end].sum() for start, end in zip(starts, ends, strict=True)]
    assert covered(starts, ends, table.astype(np.int64)).tolist() == expected


def test_windows_do_not_overlap_and_hold_their_places():
    codes = CODES.copy()
    codes[5000:5200] = 4
    places = {"TSS": np.arange(100, 20_000, 700)}
    drawn = probe_windows.draw_regions(codes, count=20, length=100, places=places, most=7, seed=3)
    assert drawn["drawn"].value_counts().to_dict() == {"anywhere": 20, "TSS": 7}
    assert (drawn["end"] - drawn["start"] == 100).all()
    assert (drawn["start"].to_numpy()[1:] >= drawn["end"].to_numpy()[:-1]).all()
    assert all((codes[start:end] < 4).all() for start, end in zip(drawn["start"], drawn["end"], strict=True))
    for row in drawn.query("drawn == 'TSS'").itertuples():
        assert ((places["TSS"] >= row.start) & (places["TSS"] < row.end)).any()


def test_windows_are_of_their_seed():
    same, again, other = (
        probe_windows.draw_regions(
            CODES, count=5, length=50, places={"TSS": np.arange(0, 20_000, 99)}, most=3, seed=seed
        )
        for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(same, again)
    assert same["start"].tolist() != other["start"].tolist()


@pytest.fixture
def described():
    """Five windows of 100 bases: half Alu, half L1, hardly any repeat, some of it, and a gene's begin."""
    drawn = intervals((0, 100), (100, 200), (200, 300), (300, 400), (400, 500))
    drawn = drawn.assign(drawn=["anywhere", "anywhere", "anywhere", "CpG islands", "TSS"])
    repeats = intervals((40, 100), (120, 200), (290, 300), (300, 330))
    repeats = repeats.assign(klass=["SINE/Alu", "LINE/L1", "LTR", "SINE/Alu"], strand=["-", "+", "+", "+"])
    genes = intervals((0, 150), (50, 250), (450, 600), strand=["+", "+", "-"])
    tracks = {"repeats": repeats, "genes": genes, "TSS": intervals((450, 451))}
    codes = np.repeat(np.array([0, 1, 2, 3, 0], dtype=np.uint8), 100)
    return probe_windows.describe(drawn, codes, tracks | {"CpG islands": intervals((310, 390))})


def test_a_kind_without_a_place_is_drawn_about_nowhere():
    nowhere = pd.Series([], dtype=np.int64).to_numpy()
    nowhere.flags.writeable = False  # as a column's is
    drawn = probe_windows.draw_regions(CODES, count=3, length=50, places={"TSS": nowhere}, most=5)
    assert drawn["drawn"].tolist() == ["anywhere"] * 3


def test_what_lies_in_windows(described):
    assert described["gc"].tolist() == [0, 1, 1, 0, 0]
    assert described["in_repeats"].tolist() == [0.6, 0.8, 0.1, 0.3, 0]
    assert described["repeat"].fillna("").tolist() == ["SINE", "LINE", "none", "", "none"]
    assert described["alu"].tolist() == pytest.approx([-0.6, 0, 0, 0.3, 0])
    assert described["in_gene"].tolist() == [1, 1, 0.5, 0, 0.5]
    assert described["gene"].tolist() == pytest.approx([1, 1, 0.5, 0, -0.5])
    assert described["tss"].tolist() == [0, 0, 0, 0, 1]
    assert described["island"].tolist() == [0, 0, 0, 0.8, 0]


def test_windows_about_a_kind_of_place_are_asked_of_such_places_alone(described):
    found = {name: (claim.classes, claim.labels.tolist()) for name, claim in probe_windows.claims(described).items()}
    assert found == {
        "repeat class": (("SINE", "LINE", "LTR", "none"), [0, 1, 3, -1, -1]),
        "strand of an Alu": (("-", "+"), [0, -1, -1, -1, -1]),
        "TSS": (("no", "yes"), [0, 0, 0, 0, 1]),
        "CpG island": (("no", "yes"), [0, 0, 0, 1, 0]),
        "gene body": (("no", "yes"), [1, 1, -1, -1, -1]),
        "strand of the gene": (("-", "+"), [1, 1, -1, -1, -1]),
    }


def test_what_other_genes_and_starts_lie_in_is_not_asked_of_coding_ones(described):
    known = described.assign(any_start=[1, 0, 0, 0, 1], in_any_gene=[1, 1, 0.5, 0.2, 0.5])
    asked = probe_windows.claims(known.assign(in_gene=0.0, drawn="anywhere"))
    assert asked["TSS"].labels.tolist() == [-1, 0, 0, 0, 1]
    assert asked["gene body"].labels.tolist() == [-1] * 5
    drawn = probe_windows.describe(
        known[["start", "end", "drawn"]], np.zeros(500, np.uint8), {"any gene": intervals((0, 50))}
    )
    assert drawn["in_any_gene"].tolist() == [0.5, 0, 0, 0, 0]


def test_without_a_track_nothing_is_asked_of_it():
    drawn = probe_windows.draw_regions(CODES, count=3, length=50, places={}, most=5)
    described = probe_windows.describe(drawn, CODES, {"TSS": intervals((0, 1))})
    assert list(described) == ["start", "end", "drawn", "gc", "tss"]
    assert list(probe_windows.claims(described)) == ["TSS"]


def test_of_what_a_track_does_not_speak_of_nothing_is_asked():
    drawn = intervals((0, 10), (10, 20), (20, 30)).assign(drawn="anywhere")
    repeats = intervals((0, 10)).assign(klass="SINE/Alu", strand="+")
    tracks = {"genes": intervals((0, 10), strand="+"), "TSS": intervals((0, 1)), "repeats": repeats}
    tracks["CpG islands"] = intervals((12, 20))
    silent = dict.fromkeys(probe_windows.TOLD_BY, intervals((25, 40)))
    described = probe_windows.describe(drawn, np.zeros(30, np.uint8), tracks, silent)
    assert described.iloc[2].isna().sum() == len(described.columns) - 4  # start, end, drawn and gc are known
    assert {name: claim.labels.tolist() for name, claim in probe_windows.claims(described).items()} == {
        "repeat class": [0, 3, -1],
        "strand of an Alu": [1, -1, -1],
        "TSS": [1, 0, -1],
        "CpG island": [0, 1, -1],
        "gene body": [1, 0, -1],
        "strand of the gene": [1, -1, -1],
    }


def test_which_class_of_ones_own_a_window_lies_mostly_in(described):
    own = intervals((0, 60), (90, 130), (150, 200), (250, 299), klass=["a", "b", "b", "a"])
    claim = probe_windows.claim_of(described, own, ("a", "b"))
    assert (claim.classes, claim.labels.tolist()) == (("a", "b"), [0, 1, -1, -1, -1])


def test_intervals_that_share_a_base_with_a_window():
    table = intervals((0, 5), (5, 10), (19, 21), (30, 31))
    assert touched(table, intervals((5, 20), (25, 30))).tolist() == [False, True, True, False]
