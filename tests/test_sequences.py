"""Ready sequences to a corpus: FASTA, the paper's CSV, drawn splits, and every refusal."""

import pytest

from dnastudy.files import InputError
from dnastudy.genes import Corpus, load_sequences

PAPER = """\
,NCBIGeneID,Symbol,Description,GeneType,GeneGroupIdentifier,GeneGroupMethod,NucleotideSequence
0,106481178,RNU4-21P,"RNA, U4 small nuclear 21, pseudogene",PSEUDO,,,<AGCTTTGCGC>
1,123477792,LOC1,a gene,BIOLOGICAL_REGION,,,<ctggNRga>
"""


def test_the_papers_csv(tmp_path):
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text(PAPER)
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "validation", "test")}
    corpus = load_sequences(tmp_path / "corpus", **files)
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
        "crlf_lines": 0,
        "no_final_newline": 0,
    }
    assert corpus.info["splits"]["train"] == {"genes": 2, "loci": 2, "span_bases": 18, "union_bases": 18}
    assert len(Corpus.load(corpus.folder)) == 6


def test_splits_that_are_not_given_are_drawn_by_seed(tmp_path):
    path = tmp_path / "all.fa"
    path.write_text("".join(f">s{i}\n{'ACGT' * (i + 1)}\n" for i in range(40)))
    corpus = load_sequences(tmp_path / "corpus", train=path)
    assert [len(corpus.indices(name)) for name in ("train", "validation", "test")] == [32, 4, 4]
    assert sorted(corpus.genes["id"]) == sorted(f"s{i}" for i in range(40))
    again = load_sequences(tmp_path / "again", train=path)
    assert again.info["files"] == corpus.info["files"]
    other = load_sequences(tmp_path / "other", train=path, seed=1)
    assert other.sequences("test") != corpus.sequences("test")
    assert corpus.info["held_out"]["test"] == "a tenth of the training sequences, by seed 0"


def test_line_ends_of_fasta_are_counted(tmp_path):
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.fa").write_bytes(b">a\r\nAc\r\nG")
    files = {name: tmp_path / f"{name}.fa" for name in ("train", "validation", "test")}
    letters = load_sequences(tmp_path / "corpus", **files).info["letters"]
    assert (letters["lower_case_read_as_upper"], letters["crlf_lines"], letters["no_final_newline"]) == (3, 6, 3)


def test_tab_separated_values_without_names_are_numbered(tmp_path):
    path = tmp_path / "all.tsv"
    path.write_text("NucleotideSequence\nACGT\nGG\nTTT\nCC\n")
    corpus = load_sequences(tmp_path / "corpus", train=path, test=path)
    assert sorted(corpus.genes["id"][corpus.indices("test")]) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "Symbol,Sequence\nA,ACGT\n",
            r"a.csv: has no column NucleotideSequence; found Symbol, Sequence",
        ),
        ("a.csv", "NucleotideSequence\n", r"a.csv: holds no sequences"),
        ("a.csv", "", r"a.csv: cannot be read as a table"),
        (
            "a.csv",
            "NucleotideSequence\nACGT\nAC!T\n",
            r"a.csv, row 2: expected nucleotide codes .* found '!'",
        ),
        ("a.csv", "NucleotideSequence\nACGT\n<>\n", r"a.csv, row 2: .* found an empty sequence"),
        ("a.csv", "NCBIGeneID,NucleotideSequence\n7,A\n7,C\n", r"a.csv: two sequences are named '7'"),
        (
            "a.csv",
            "NucleotideSequence\nACGT\n",
            r"a.csv: 1 sequences are too few to draw the validation split from",
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
