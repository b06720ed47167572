"""dnastudy.chapters.train_tokenizers: each draws what its table holds."""

import matplotlib
import pandas as pd
import pytest

matplotlib.use("agg")
from dnastudy.chapters import train_tokenizers


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_vocabularies_have_the_bound_of_k_mers_and_a_line_a_kind():
    table = pd.DataFrame(
        {"tokens": [4, 16, 20], "bases_per_token": [1.0, 2.0, 1.9], "kind": ["k-mers", "k-mers", "BPE"]}
    )
    axes = train_tokenizers.draw_vocabularies(table)
    assert labels(axes)[1:] == ["k-mers", "BPE"]
    assert axes.lines[0].get_ydata()[0] == pytest.approx(1)
    assert axes.lines[1].get_ydata().tolist() == [1.0, 2.0]


def test_lengths_of_the_vocabulary_leave_gaps_out():
    table = pd.DataFrame({"vocabulary": "BPE 2", "length": [1, 2, 3], "tokens": [1, 0, 3], "bases": [0.1, 0.0, 0.9]})
    left, right = train_tokenizers.draw_lengths(table).figure.axes
    assert (left.lines[0].get_xdata().tolist(), left.lines[0].get_ydata().tolist()) == ([1, 3], [0.25, 0.75])
    assert right.lines[0].get_ydata().tolist() == [0.1, 0.0, 0.9]


def test_ranks_of_the_second_kind_are_dashed():
    rows = [("BPE 8", "BPE", 1, 0.6), ("BPE 8", "BPE", 2, 0.4), ("1-mer", "k-mers", 1, 0.3)]
    axes = train_tokenizers.draw_ranks(pd.DataFrame(rows, columns=["vocabulary", "kind", "rank", "share"]))
    assert [(line.get_label(), line.get_linestyle()) for line in axes.lines] == [("BPE 8", "-"), ("1-mer", "--")]


def test_first_letters_stand_beside_the_composition():
    rows = [(8, base, share, 0.25) for base, share in zip("ACGT", (0.4, 0.3, 0.1, 0.2), strict=True)]
    axes = train_tokenizers.draw_first_letters(pd.DataFrame(rows, columns=["merges", "base", "share", "composition"]))
    assert labels(axes) == ["A", "C", "G", "T"]
    assert [line.get_ydata()[0] for line in axes.lines] == [0.4, 0.25, 0.3, 0.25, 0.1, 0.25, 0.2, 0.25]


def test_dinucleotides_are_in_the_order_of_the_most_merges():
    rows = [(8, "CG", 0.9), (8, "TG", 0.1), (32, "CG", 0.2), (32, "TG", 0.8)]
    axes = train_tokenizers.draw_kept(pd.DataFrame(rows, columns=["merges", "dinucleotide", "kept"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["TG", "CG"]
    assert [text.get_text() for text in axes.texts] == ["10", "90", "80", "20"]


def test_repeats_have_the_average_and_a_dot_a_token():
    table = pd.DataFrame({"length": [1, 5], "in_repeats": [0.2, 0.9], "gc": [0.0, 0.4]})
    axes = train_tokenizers.draw_repeats(table, 0.45)
    assert axes.collections[0].get_offsets()[:, 1].tolist() == [0.2, 0.9]
    assert axes.lines[0].get_ydata() == [0.45, 0.45]


def test_agreement_has_a_line_a_pair():
    table = pd.DataFrame({"pair": ["pieces", "pieces", "strand"], "n": [5, 10, 5], "jaccard": [1.0, 0.9, 0.2]})
    axes = train_tokenizers.draw_agreement(table)
    assert labels(axes) == ["pieces", "strand"]
    assert axes.lines[0].get_ydata().tolist() == [1.0, 0.9]


def test_edges_end_where_nothing_differs():
    rows = [("BPE 8", "left", 0, 0.5), ("BPE 8", "left", 5, 0.0), ("BPE 8", "right", 0, 0.4)]
    axes = train_tokenizers.draw_edges(pd.DataFrame(rows, columns=["vocabulary", "side", "distance", "differs"]))
    assert [(line.get_linestyle(), line.get_ydata().tolist()) for line in axes.lines] == [("-", [0.5]), ("--", [0.4])]
    assert labels(axes) == ["BPE 8, left end", "BPE 8, right end"]
