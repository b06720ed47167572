import numpy as np
import pandas as pd
import pytest

from dnastudy.chapters.label_inputs import cards, given_away, single_statistics
from dnastudy.genes import read_annotation
from dnastudy.genes.annotation import transcription_starts
from dnastudy.genes.codes import encode
from dnastudy.genes.contigs import read_genome
from dnastudy.tasks.label_sets import LabelSet, promoters
from dnastudy.tokens import KmerTokenizer, Tokenizer, train_bpe


def label_set(letters, labels, classes=("no", "yes"), facts=None):
    """The same sequences to learn from, for validation and to be judged on."""
    n = len(letters)
    table = pd.DataFrame({"label": labels * 3, "split": np.repeat(["train", "validation", "test"], n)})
    table["group"] = np.arange(3 * n) // 2
    return LabelSet("toy", table, [encode(each) for each in letters] * 3, classes, facts or {})


def give_away(labels, tokenizer):
    """AUROC of each statistic alone."""
    table = given_away({"toy": labels._replace(negatives="toy")}, tokenizer, resamples=0, seed=0)
    return table.set_index("statistic").rename(columns={"toy": "auroc"})[["learnt", "auroc"]]


def test_a_card_says_what_a_set_is():
    facts = {"contigs": {"chr19": "train"}, "dropped": {"unknown base": 1234}, "drop_shared": False, "threshold": 10.0}
    labels = label_set(["ACGN", "AATTT", "GGGG", "ATAT"], [0, 0, 1, 1], facts=facts)
    labels.table["repeats"] = [0.5, 0.0, 1.0, 1.0] * 3
    assert cards({"toy": labels})[["what", "value"]].to_numpy().tolist() == [
        ["examples", "12"],
        ["bases of an example", "4 to 5"],
        ["train", "2 no, 2 yes; 2 groups"],
        ["validation", "2 no, 2 yes; 2 groups"],
        ["test", "2 no, 2 yes; 2 groups"],
        ["GC share", "no 33.3%, yes 50.0%"],
        ["share in repeats", "no 25.0%, yes 100.0%"],
        ["contigs: chr19", "train"],
        ["dropped: unknown base", "1,234"],
        ["drop shared", "no"],
        ["threshold", "10.0"],
    ]


def test_what_gives_a_class_away_comes_first():
    # Both classes have four C and four G: only in the second do they stand together, and merge.
    tokenizer = Tokenizer([("C", "G")])
    labels = label_set(["GGCCGGCC", "CCCCGGGG", "CGCGCGCG", "GCGCGCGC"], [0, 0, 1, 1])
    table = give_away(labels, tokenizer)
    assert table.loc["tokens"].tolist() == [False, 0.0]
    assert table.loc["GC share"].tolist() == [False, 0.5]
    assert table.loc[["CG", "longest run of a base"], "auroc"].tolist() == [1.0, 0.0]
    values = {
        name: found.reshape(2, 2).mean(axis=1).tolist() for name, _, found in single_statistics(labels, tokenizer)[1]
    }
    assert (values["tokens"], values["GC share"]) == ([7.0, 4.5], [1.0, 1.0])
    assert (values["CG"], values["longest run of a base"]) == (pytest.approx([1 / 7, 3.5 / 7]), [3.0, 1.0])
    assert table.loc["tokens by frequency", ["learnt", "auroc"]].tolist() == [True, 1.0]
    assert abs(table["auroc"] - 0.5).is_monotonic_decreasing and len(table) == 23


def test_frequencies_are_learnt_from_training_alone():
    labels = label_set(["ACACACAC", "ACACACAC", "GTGTGTGT", "GTGTGTGT"], [0, 0, 1, 1])
    swapped = labels.table["label"].where(labels.table["split"] != "test", 1 - labels.table["label"])
    swapped = labels._replace(table=labels.table.assign(label=swapped))
    table = give_away(swapped, Tokenizer())
    assert table.loc[["tokens by frequency", "6-mers"], "auroc"].tolist() == [0.0, 0.0]
    values = {name: found for name, _, found in single_statistics(swapped, Tokenizer())[1]}["tokens by frequency"]
    assert (values[2:] > 0).all() and (values[:2] < 0).all()


def test_of_three_classes_the_first_and_the_last_are_compared():
    labels = label_set(["AAAAAAAA", "CCCCCCCC", "AAAACCCC", "AAAACCCC"], [0, 2, 1, 1], ("a", "b", "c"))
    table = give_away(labels, Tokenizer())
    assert table.loc["GC share"].tolist() == [False, 1.0]


@pytest.mark.data
@pytest.mark.slow
def test_shuffled_merges_are_given_away_by_their_number(chromosomes):
    genome = {
        name: codes for name, (codes, _) in read_genome([chromosomes["chr19.fa"], chromosomes["chr22.fa"]]).items()
    }
    annotations = [read_annotation(chromosomes[name]) for name in ("chr19.gff3", "chr22.gtf")]
    starts = pd.concat([transcription_starts(each) for each in annotations], ignore_index=True)
    tokenizer, splits = train_bpe(genome["chr19"], 600), {"chr19": "train", "chr22": "test"}

    def aurocs(negatives, shuffled=tokenizer):
        labels = promoters(genome, starts, splits, negatives=negatives, tokenizer=shuffled)
        return give_away(labels, tokenizer)["auroc"]

    tokens, kmers = aurocs("tokens"), aurocs("tokens", KmerTokenizer(6))
    dinucleotides = aurocs("dinucleotides")
    # An encoding has no two neighbours that merge; shuffled tokens do, so that fewer are left of them.
    assert tokens[["tokens", "tokens by frequency"]].tolist() == pytest.approx([0.81, 0.95], abs=0.01)
    assert kmers[["tokens", "tokens by frequency"]].tolist() == pytest.approx([0.41, 0.69], abs=0.02)
    assert dinucleotides[["tokens", "tokens by frequency"]].tolist() == pytest.approx([0.41, 0.83], abs=0.02)
