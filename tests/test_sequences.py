"""Ready sequences to a corpus: FASTA, the paper's CSV, drawn splits, and every refusal."""

import numpy as np
import pytest

from dnastudy.files import InputError
from dnastudy.genes import Corpus, leakage, load_sequences

PAPER = """\
,NCBIGeneID,Symbol,Description,GeneType,GeneGroupIdentifier,GeneGroupMethod,NucleotideSequence
0,106481178,RNU4-21P,"RNA, U4 small nuclear 21, pseudogene",PSEUDO,,,<AGCTTTGCGC>
1,123477792,LOC1,a gene,BIOLOGICAL_REGION,,,<ctggNRga>
"""


def test_the_papers_csv(tmp_path):
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text(PAPER)
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "validation", "test")}
    corpus = load_sequences(tmp_path / "corpus", **files, allow_duplicates=True)
    assert corpus.sequences("test") == ["AGCTTTGCGC", "CTGGNNGA"]
    genes = corpus.genes
    assert genes["id"].tolist() == ["106481178", "123477792"] * 3
    assert genes["symbol"].tolist()[:2] == ["RNU4-21P", "LOC1"]
    assert genes["type"].tolist()[:2] == ["PSEUDO", "BIOLOGICAL_REGION"]
    assert genes["locus"].tolist() == [0, 1, 2, 3, 4, 5]
    assert (genes["contig"] == "").all() and genes["end"].tolist() == [10, 8] * 3
    assert corpus.info["letters"] == {
        "lower_case_read_as_upper": 18,
        "iupac_read_as_unknown": 3,
        "unknown": 6,
    }
    assert corpus.info["splits"]["train"] == {"genes": 2, "loci": 2, "span_bases": 18, "union_bases": 18}
    assert corpus.info["held_out"] == {"validation": "a file of its own", "test": "a file of its own"}
    assert len(Corpus.load(corpus.folder)) == 6


def test_splits_that_are_not_given_are_drawn_by_seed(tmp_path):
    path = tmp_path / "all.fa"
    path.write_text("".join(f">s{i}\n{'ACCT' * (i + 1)}\n" for i in range(40)))
    corpus = load_sequences(tmp_path / "corpus", train=path)
    assert [len(corpus.indices(name)) for name in ("train", "validation", "test")] == [32, 4, 4]
    assert sorted(corpus.genes["id"]) == sorted(f"s{i}" for i in range(40))
    again = load_sequences(tmp_path / "again", train=path)
    assert again.info["files"] == corpus.info["files"]
    other = load_sequences(tmp_path / "other", train=path, seed=1)
    assert other.sequences("test") != corpus.sequences("test")
    assert corpus.info["held_out"]["test"] == "10% of the genes, drawn at random by seed 0"
    sixty = load_sequences(tmp_path / "sixty", train=path, test_share=0.2, validation_share=0.2)
    assert [len(sixty.indices(name)) for name in ("train", "validation", "test")] == [24, 8, 8]


def test_only_what_is_not_given_is_drawn(tmp_path):
    (tmp_path / "all.fa").write_text("".join(f">s{i}\n{'ACCT' * (i + 1)}\n" for i in range(40)))
    (tmp_path / "test.fa").write_text(">t\nGG\n")
    corpus = load_sequences(tmp_path / "corpus", train=tmp_path / "all.fa", test=tmp_path / "test.fa")
    assert [len(corpus.indices(name)) for name in ("train", "validation", "test")] == [36, 4, 1]
    assert corpus.info["held_out"] == {
        "validation": "10% of the genes, drawn at random by seed 0",
        "test": "a file of its own",
    }


def test_families_are_drawn_whole(tmp_path):
    random = np.random.default_rng(0)
    parents = [random.choice(list("ACGT"), 100) for _ in range(10)]
    children = ["".join(np.r_[parent[:90], random.choice(list("ACGT"), 10)]) for parent in parents for _ in range(4)]
    (tmp_path / "all.fa").write_text("".join(f">s{i}\n{child}\n" for i, child in enumerate(children)))
    corpus = load_sequences(tmp_path / "corpus", train=tmp_path / "all.fa", split="family")
    assert corpus.genes.groupby("family")["id"].agg(len).tolist() == [4] * 10
    assert [len(set(corpus.genes["family"][corpus.split == n])) for n in range(3)] == [8, 1, 1]
    assert corpus.info["held_out"]["test"] == "10% of the genes, in whole families (of 10), drawn at random by seed 0"
    assert not leakage(corpus)["genes_shared"].any()
    at_random = load_sequences(tmp_path / "random", train=tmp_path / "all.fa")
    assert corpus.info["parameters"] == {"split": "family", "family_method": "kmers", "family_share": 0.1, "seed": 0}
    assert "family" not in at_random.genes and leakage(at_random)["genes_shared"].all()


@pytest.fixture
def related(tmp_path):
    """A train, a validation and a test file; two test sequences have relatives in them, one on the other strand."""
    one, two, three, four = ("".join(np.random.default_rng(n).choice(list("ACGT"), 60)) for n in range(4))
    other_strand = two[::-1].translate(str.maketrans("ACGT", "TGCA"))
    genes = {
        "train": {"a": one[:50], "b": other_strand[5:], "c": three, "d": "AC" * 30, "e": "AG" * 30, "f": "AAC" * 20},
        "validation": {"g": one[5:], "h": three[5:], "i": "AAG" * 20},
        "test": {"j": one, "k": two, "l": four},
    }
    for name, rows in genes.items():
        (tmp_path / f"{name}.fa").write_text("".join(f">{i}\n{sequence}\n" for i, sequence in rows.items()))
    return {name: tmp_path / f"{name}.fa" for name in genes}


def ids(corpus):
    return ["".join(corpus.genes["id"][corpus.split == number]) for number in range(3)]


def test_relatives_of_a_test_file_are_counted_and_by_family_dropped(related, tmp_path):
    kept = load_sequences(tmp_path / "kept", **related)
    assert ids(kept) == ["abcdef", "ghi", "jkl"]
    assert (kept.info["test_relatives"], kept.info["dropped"]) == (2, {})
    apart = load_sequences(tmp_path / "apart", **related, split="family")
    assert ids(apart) == ["def", "hi", "jkl"]  # c is a relative of h
    assert apart.info["dropped"] == {"a relative of a gene in the test or validation file": 4}
    assert apart.info["test_relatives"] == 0 and not leakage(apart)["genes_shared"].any()


def test_what_is_drawn_beside_a_file_is_drawn_after_its_relatives_are_dropped(related, tmp_path):
    del related["validation"]
    corpus = load_sequences(tmp_path / "test", **related, split="family", validation_share=0.25)
    train, validation, test = ids(corpus)
    assert (sorted(train + validation), len(validation), test) == (list("cdef"), 1, "jkl")
    assert corpus.info["dropped"] == {"a relative of a gene in the test or validation file": 2}


def test_by_family_a_copy_of_a_test_sequence_is_dropped_from_train(related, tmp_path):
    related["train"].write_text(f">x\n{related['test'].read_text().split()[1]}\n>y\n{'AC' * 30}\n")
    with pytest.raises(InputError, match=r"found 1 that do"):
        load_sequences(tmp_path / "corpus", **related)
    corpus = load_sequences(tmp_path / "corpus", **related, split="family")
    assert (ids(corpus)[0], ids(corpus)[2], corpus.info["test_copies"]) == ("y", "jkl", 0)
    related["train"].write_text(related["test"].read_text())
    with pytest.raises(InputError, match=r"the train split holds none .* was dropped: give other files, or a larger"):
        load_sequences(tmp_path / "none", **related, split="family")


def test_the_rule_that_is_kept_is_what_happened(related, tmp_path):
    def rule(**options):
        return load_sequences(tmp_path / "corpus", **options).info["parameters"]

    families = {"family_method": "kmers", "family_share": 0.1}
    assert rule(**related, seed=3) == {"split": "given"} | families
    assert rule(**related, split="family", seed=3) == {"split": "family"} | families
    del related["validation"]
    assert rule(**related, split="chromosome", seed=3) == {"split": "random", "seed": 3} | families
    del related["test"]
    drawn = {"validation_share": 0.2, "test_share": 0.2, "seed": 3}
    assert rule(**related, **drawn, split="chromosome") == {"split": "random", "seed": 3}


def test_at_a_share_of_0_no_kmer_is_shared(tmp_path):
    core = "".join(np.random.default_rng(0).choice(list("ACGT"), 31))
    pairs = [(f"{core}{'ACCT' * 200}", f"{'GGA' * 200}{core}"), ("ACG" * 200, "TAA" * 200)]
    (tmp_path / "all.fa").write_text("".join(f">s{i}\n{one}\n>t{i}\n{two}\n" for i, (one, two) in enumerate(pairs)))
    corpora = [
        load_sequences(tmp_path / str(share), train=tmp_path / "all.fa", split="family", family_share=share)
        for share in (0, 0.5)
    ]
    assert [corpus.genes["family"].nunique() for corpus in corpora] == [3, 4]


def test_a_test_sequence_that_stands_in_train_is_refused_unless_asked_for(tmp_path):
    (tmp_path / "train.fa").write_text(">a\nACCTT\n>b\nGG\n>c\nTTTA\n")
    (tmp_path / "test.fa").write_text(">d\nAAGGT\n>e\nACC\n")
    files = {"train": tmp_path / "train.fa", "test": tmp_path / "test.fa"}
    message = r"test.fa: expected sequences that don't stand in .*train.fa, found 1 .* \(the first is d\). Remove them"
    with pytest.raises(InputError, match=message):
        load_sequences(tmp_path / "corpus", **files)
    corpus = load_sequences(tmp_path / "corpus", **files, allow_duplicates=True)
    assert corpus.sequences("test") == ["AAGGT", "ACC"]
    assert corpus.info["test_copies"] == 1 and corpus.info["dropped"] == {}


def test_a_drawn_test_sequence_that_stands_in_train_is_dropped(tmp_path):
    (tmp_path / "all.fa").write_text("".join(f">s{i}\n{'AC' * (i // 2 + 1)}\n" for i in range(40)))
    corpus = load_sequences(tmp_path / "corpus", train=tmp_path / "all.fa", test_share=0.4)
    dropped = corpus.info["dropped"]["a test gene equal to one of train or validation"]
    assert len(corpus.indices("test")) == 16 - dropped and 5 < dropped < 15
    seen = corpus.sequences("train") + corpus.sequences("validation")
    assert not set(seen) & set(corpus.sequences("test")) and corpus.info["test_copies"] == 0
    (tmp_path / "same.fa").write_text("".join(f">s{i}\nACC\n" for i in range(40)))
    with pytest.raises(InputError, match=r"the test split holds none .* were dropped: hold out others"):
        load_sequences(tmp_path / "none", train=tmp_path / "same.fa")


def test_tab_separated_values_without_names_are_numbered(tmp_path):
    path = tmp_path / "all.tsv"
    path.write_text("NucleotideSequence\nACGT\nGG\nTTT\nCC\n")
    corpus = load_sequences(tmp_path / "corpus", train=path, test=path, allow_duplicates=True)
    assert sorted(corpus.genes["id"][corpus.indices("test")]) == ["1", "2", "3", "4"]


def test_an_unknown_rule_is_refused(tmp_path):
    with pytest.raises(InputError, match="split='familly': no such rule; did you mean 'family'"):
        load_sequences(tmp_path / "corpus", train=tmp_path / "no.fa", split="familly")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "Symbol,Sequence\nA,ACGT\n",
            r"a.csv: has no column NucleotideSequence; found Symbol, Sequence",
        ),
        ("a.csv", "NucleotideSequence\n", r"a.csv: holds no sequences"),
        ("a.csv", "", r"a.csv: has no column NucleotideSequence; found "),
        (
            "a.csv",
            "NucleotideSequence\nACGT\nAC!T\n",
            r"a.csv, line 3, column NucleotideSequence: '!' at base 3 is no nucleotide code",
        ),
        ("a.csv", "NucleotideSequence\nACGT\n<>\n", r"a.csv, line 3, column NucleotideSequence: no sequence"),
        ("a.csv", "NCBIGeneID,NucleotideSequence\n7,A\n7,C\n", r"a.csv: two sequences are named '7'"),
        (
            "a.csv",
            "NucleotideSequence\nACGT\n",
            r"a.csv: 1 sequences are too few to draw test and validation from",
        ),
        ("a.fa", ">x\nACGT\n>x\nA\n", r"a.fa, line 3: found a second record named 'x'"),
        ("a.fa", "NucleotideSequence\nACGT\n", r"a.fa: not a FASTA file"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        load_sequences(tmp_path / "corpus", train=tmp_path / name)
    assert not (tmp_path / "corpus").exists()
