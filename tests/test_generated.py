import numpy as np
import pandas as pd
import pytest

from dnastudy.chapters.generate_genes import compare, describe, distances
from dnastudy.files import InputError
from dnastudy.genes import load_sequences, whole_genes, windows
from dnastudy.genes.fasta import write_fasta
from dnastudy.genes.motifs import SpliceSite


def draw(n, length, seed, shares=(0.25, 0.25, 0.25, 0.25)):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length, p=shares)) for _ in range(n)]


@pytest.fixture(scope="module")
def held_out(corpus):
    return windows(corpus, "test", length=300, count=20)


@pytest.fixture(scope="module")
def comparison(corpus, held_out):
    made = {"uniform": draw(20, 300, 3), "copied": [sequence[:300] for sequence in corpus.sequences("train")[:20]]}
    return compare(made, corpus, held_out, epochs=2)


def test_descriptions():
    table = describe({"made": ["CGCGAT", "AAAN"], "train": ["CCATGGGGTGACC"]}, {})
    assert table["set"].tolist() == ["made"] * 2 + ["train"]
    assert table["sequence"].tolist() == [0, 1, 0]
    assert table["bases"].tolist() == [6, 3, 13]
    assert table["gc"].tolist() == pytest.approx([4 / 6, 0, 9 / 13])
    # CGCGAT: 2 CG in 6 bases with 2 C and 2 G.
    assert table["cpg"].tolist() == pytest.approx([3, np.nan, 0], nan_ok=True)
    assert table["longest_run"].tolist() == [1, 3, 4]
    assert table["longest_orf"].tolist() == [0, 0, 9]
    assert table["longest_orf_either"].tolist() == [0, 0, 9]
    assert "donor_sites" not in table


def test_descriptions_count_the_sites_that_are_known():
    weights = np.full((2, 4), -9.0)
    weights[0, 2] = weights[1, 3] = 2
    table = describe({"made": ["ATGTAA"]}, {"donor": SpliceSite(weights, 4.0)})
    assert table.loc[0, ["longest_orf", "donor_sites"]].tolist() == pytest.approx([6, 1000 / 6])


def test_distances_of_known_sets():
    sets = {"same": ["ACGT" * 4], "other": ["A" * 16], "held out": ["ACGT" * 4]}
    table = pd.DataFrame({"set": ["same", "same", "other", "other", "held out", "held out"]})
    table["gc"] = [0.5, 0.4, 0.4, 0.9, 0.4, 0.5]
    table["cpg"] = [1, np.nan, np.nan, np.nan, 1, 1]
    found = distances(sets, table).pivot(index="property", columns="set", values="distance")
    assert found.loc["GC content"].to_dict() == pytest.approx({"same": 0, "other": 0.5})
    assert found.loc["CpG, observed/expected"].to_dict() == pytest.approx({"same": 0, "other": np.nan}, nan_ok=True)
    assert found.loc["3-mers"].to_dict() == pytest.approx({"same": 0, "other": 1})
    assert found.loc["runs of one base"].to_dict() == pytest.approx({"same": 0, "other": 1})
    assert found["same"].tolist() == [0] * 6


def test_comparison_has_both_references(comparison):
    assert comparison.sequences["set"].drop_duplicates().tolist() == ["uniform", "copied", "train", "held out"]
    assert comparison.sequences.groupby("set").size().tolist() == [20] * 4
    for table in (comparison.spectra, comparison.distances):
        assert set(table["set"]) == {"uniform", "copied", "train"}
    assert comparison.spectra["k"].drop_duplicates().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    for table in (comparison.dinucleotides, comparison.runs):
        assert table["set"].drop_duplicates().tolist() == ["uniform", "copied", "train", "held out"]
    assert comparison.discriminator["set"].tolist() == ["uniform"] * 2 + ["copied"] * 2 + ["train"] * 2
    assert comparison.discriminator["classifier"].tolist() == ["k-mers", "CNN"] * 3


def test_distances_are_measured_by_those_of_training_samples(comparison):
    table = comparison.distances.set_index(["property", "set"])
    for name, part in table.groupby("property"):
        train, copied = part.loc[(name, "train")], part.loc[(name, "copied")]
        assert train["relative"] == pytest.approx(1) and train["low"] <= 1 <= train["high"]
        assert copied["relative"] == pytest.approx(copied["distance"] / train["distance"])
    relative = table["relative"].unstack()
    assert len(relative) == 13 and relative.notna().all(axis=None)
    # No two bases of uniform sequence know of each other.
    assert (relative.loc[["3-mers", "dinucleotides", "CpG, observed/expected"], "uniform"] > 1.5).all()


def test_copies_are_found_in_what_was_generated_and_not_in_training_windows(comparison):
    longest = comparison.sequences.groupby("set")["longest_copy"]
    assert longest.min()["copied"] == 300
    assert longest.max()["train"] < 300
    assert longest.max()["uniform"] < 20
    share = comparison.sequences.groupby("set")["repeat_share"].mean()
    assert share["uniform"] < 0.01 and share["held out"] > 0.02


def test_sets_are_cut_to_the_held_out_windows(corpus, held_out):
    short = held_out.assign(end=held_out["start"] + 100 + np.arange(len(held_out)))
    tables = compare({"made": draw(40, 500, 1)}, corpus, short, epochs=0)
    sizes = tables.sequences.groupby("set", sort=False)["bases"].agg(list)
    assert sizes["made"] == sizes["train"] == sizes["held out"] == (100 + np.arange(20)).tolist()


def test_training_windows_are_as_long_as_the_held_out_ones(tmp_path):
    """Half of the training genes are too short to be cut to half of the held-out windows."""
    lengths = {"train": [60, 200] * 40, "test": [100, 40] * 10}
    for name, each in lengths.items():
        genes = {f"{name}{n}": draw(1, length, 100 * len(name) + n)[0] for n, length in enumerate(each)}
        write_fasta(tmp_path / f"{name}.fa", genes)
    files = {name: tmp_path / f"{name}.fa" for name in lengths}
    corpus = load_sequences(tmp_path / "corpus", **files)
    made = {"made": draw(20, 100, 1)}
    chosen = whole_genes(corpus, "test")
    table = compare(made, corpus, chosen, epochs=0).sequences
    assert table.groupby("set")["bases"].agg(list).to_dict() == dict.fromkeys(
        ["made", "train", "held out"], [100, 40] * 10
    )
    beyond = chosen.assign(end=chosen["end"].where(chosen["gene"] != chosen["gene"][0], corpus.offsets[-1]))
    assert (beyond["end"] - beyond["start"]).iloc[0] == 1400
    table = compare(made, corpus, beyond, epochs=0).sequences
    assert table["bases"][table["set"] == "train"].tolist() == ([100, 40] * 10)[1:]  # no gene is as long as the first


def test_ready_sequences_have_no_splice_sites_or_repeats(tmp_path, corpus):
    for name in ("train", "test"):
        write_fasta(tmp_path / f"{name}.fa", {f"{name}{i}": s for i, s in enumerate(draw(30, 200, len(name)))})
    plain = load_sequences(tmp_path / "corpus", train=tmp_path / "train.fa", test=tmp_path / "test.fa")
    made = {"made": draw(10, 100, 1)}
    first, again = (compare(made, plain, windows(plain, "test", length=100, count=10), epochs=1) for _ in range(2))
    assert not {"donor_sites", "acceptor_sites", "repeat_share"} & set(first.sequences)
    assert first.distances["property"].nunique() == 10
    for table, same in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(table, same)


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        ({"made": []}, "set 'made': no sequence"),
        ({"made": [""]}, "set 'made': no sequence"),
        ({"train": ["A"]}, "set 'train': that name is a reference's"),
        (
            {"made": ["ACGT"] * 3},
            "20 real sequences from .* loci and 3 others from 3; .* expected at least 5",
        ),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(corpus, held_out, generated, message):
    with pytest.raises(InputError, match=message):
        compare(generated, corpus, held_out, epochs=0)
