"""From FASTA and annotation to a corpus: orientation, filters, splits, counts, and every refusal."""

import gzip
import os
from pathlib import Path

import pytest

from dnastudy.files import DiskFull, InputError
from dnastudy.genes import Corpus, extract_genes, fetch, leakage, read_annotation, windows
from dnastudy.genes.corpus import FILES

# Twenty bases a line make coordinates easy: gene n begins at base 20 * n + 1 of its contig.
CHR1 = "ACGTTGCAACGGATCCTTAG" + "TTGACCATGGCATTAGCCGA" + "GGCATNRACCATTTGACCAA" + "ccatgacgattacagattac"
CHR2 = "CATTAGACCAGATACCAGAT" + "GGACCATTAGCATTACCGGA"


def gene(contig, start, end, strand="+", name=None, kind="protein_coding"):
    name = name or f"g{contig}_{start}"
    attributes = f'gene_id "{name}"; transcript_id "t";'
    exons = "".join(
        f"{contig}\tx\t{feature}\t{start + 2}\t{start + 5}\t.\t{strand}\t0\t{attributes}\n"
        for feature in ("exon", "CDS")
    )
    return f'{contig}\tx\tgene\t{start}\t{end}\t.\t{strand}\t.\tgene_id "{name}"; gene_type "{kind}";\n' + exons


GENES = [gene("1", 1, 20), gene("1", 21, 40, "-"), gene("1", 41, 60), gene("1", 61, 80), gene("2", 1, 20)]


@pytest.fixture
def make(tmp_path):
    """Write a FASTA of both contigs and an annotation of some genes, and extract."""

    def run(genes=GENES, fasta=f">chr1\n{CHR1}\n>chr2\n{CHR2}\n", out="corpus", **options):
        (tmp_path / "a.fa").write_text(fasta)
        (tmp_path / "a.gtf").write_text("".join(genes))
        return extract_genes(tmp_path / "a.fa", tmp_path / "a.gtf", tmp_path / out, **options)

    return run


def test_genes_are_cut_oriented_split_and_counted(make, tmp_path):
    (tmp_path / "r.bed").write_text("chr1\t15\t23\nchr2\t0\t1\n")
    corpus = make(repeats=tmp_path / "r.bed", validation=0.25, max_n=0.1)
    assert corpus.sequences("train") == [
        "ACGTTGCAACGGATCCTTAG",
        "TCGGCTAATGCCATGGTCAA",
        "GGCATNNACCATTTGACCAA",
    ]
    assert corpus.sequences("validation") == ["CCATGACGATTACAGATTAC"]
    assert corpus.sequences("test") == ["CATTAGACCAGATACCAGAT"]
    intervals = {kind: table[["start", "end"]].values.tolist() for kind, table in corpus.intervals.groupby("kind")}
    assert intervals == {
        "cds": [[2, 6], [34, 38], [42, 46], [62, 66], [82, 86]],
        "exon": [[2, 6], [34, 38], [42, 46], [62, 66], [82, 86]],
        "repeat": [[15, 20], [37, 40], [80, 81]],
    }
    assert corpus.info["contigs"]["chr1"] == {
        "name": "chr1",
        "length": 80,
        "m5": "b99d738bb6d40f84850aa78d520fab21",
        "lower_case_read_as_upper": 20,
        "iupac_read_as_unknown": 1,
        "unknown": 2,
        "name_in_annotation": "1",
    }
    assert corpus.info["parameters"]["split"] == "chromosome"
    assert corpus.info["held_out"] == {"test": "chr2", "validation": "chr1 from base 61"}
    assert corpus.info["splits"]["train"] == {"genes": 3, "loci": 3, "span_bases": 60, "union_bases": 60}


def test_a_contig_goes_by_three_names(make):
    fasta = f">1\n{CHR1}\n>chr2\n{CHR2}\n>MT\nACGT\n"
    contigs = make([*GENES[:4], gene("chr2", 1, 20)], fasta=fasta, validation=0.33).info["contigs"]
    assert {name: (d["name"], d["name_in_annotation"]) for name, d in contigs.items()} == {
        "chr1": ("1", "1"),
        "chr2": ("chr2", "chr2"),
        "chrM": ("MT", None),
    }


def test_overlapping_spans_are_counted_as_spans_and_as_a_union(make):
    corpus = make(
        [gene("1", 1, 20), gene("1", 11, 30, "-"), gene("1", 61, 80), gene("2", 1, 20)],
        validation=0.4,
    )
    assert corpus.info["splits"]["train"] == {"genes": 2, "loci": 1, "span_bases": 40, "union_bases": 30}
    assert corpus.genes["locus"].tolist() == [0, 0, 1, 2]


def test_everything_dropped_is_counted_by_reason(make):
    more = [
        gene("1", 1, 20, kind="lncRNA", name="a"),
        gene("1", 5, 9, name="short"),
        gene("1", 1, 40, name="long"),
        gene("1", 21, 40, name="g1_1"),
        gene("KI270728.1", 1, 20, name="elsewhere"),
        gene("1", 51, 75, name="cut"),
    ]
    corpus = make(GENES + more, min_length=10, max_length=30, validation=0.28)
    assert corpus.info["dropped"] == {
        "another biotype": 1,
        "contig lacking in the FASTA": 1,
        "shorter than min_length": 1,
        "longer than max_length": 1,
        "more unknown bases than max_n": 1,
        "an id that came before": 1,
        "across a cut between splits": 1,
        "a test gene equal to one of train or validation": 0,
    }
    assert corpus.genes["id"].tolist() == ["g1_1", "g1_21", "g1_61", "g2_1"]


def test_genes_across_the_cut_are_dropped(make):
    corpus = make([*GENES, gene("1", 21, 25, name="x")], validation=0.7, max_n=1)
    assert corpus.info["dropped"]["across a cut between splits"] == 2
    assert corpus.genes["id"].tolist() == ["g1_1", "g1_41", "g1_61", "g2_1"]


def test_biotypes_none_keeps_all(make):
    corpus = make([*GENES, gene("1", 1, 20, kind="lncRNA", name="a")], biotypes=None, validation=0.33)
    assert set(corpus.genes["type"]) == {"protein_coding", "lncRNA"}


def test_pairs_of_files_are_read_one_by_one(tmp_path, make):
    whole = make(validation=0.33)
    for name, contig, genes in (("one", CHR1, GENES[:4]), ("two", CHR2, GENES[4:])):
        (tmp_path / f"{name}.fa.gz").write_bytes(gzip.compress(f">chr{1 + (name == 'two')}\r\n{contig}".encode()))
        (tmp_path / f"{name}.gtf").write_text("".join(genes))
    corpus = extract_genes(
        [tmp_path / "one.fa.gz", tmp_path / "two.fa.gz"],
        [tmp_path / "one.gtf", tmp_path / "two.gtf"],
        tmp_path / "pairs",
        validation=0.33,
    )
    described = corpus.info["contigs"]
    assert list(described) == ["chr1", "chr2"]
    assert corpus.genes.drop(columns="tss").equals(whole.genes.drop(columns="tss"))
    assert (corpus.all_codes == whole.all_codes).all()


@pytest.fixture
def two(make, tmp_path):
    """The two contigs in a file each, and one annotation of both, which a corpus of one file of both stands beside."""
    whole = make(validation=0.33)
    for number, contig in enumerate((CHR1, CHR2), 1):
        (tmp_path / f"{number}.fa").write_text(f">chr{number}\n{contig}\n")
    return [tmp_path / "1.fa", tmp_path / "2.fa"], tmp_path / "a.gtf", whole


def test_one_annotation_goes_with_several_files(two, monkeypatch, tmp_path):
    fastas, annotation, whole = two
    read = []
    monkeypatch.setattr(
        "dnastudy.genes.extract.read_annotation", lambda path: read.append(path) or read_annotation(path)
    )
    corpus = extract_genes(fastas, annotation, tmp_path / "two", validation=0.33)
    assert read == [annotation]
    assert {name: corpus.info[name] for name in ("files", "dropped")} == {
        name: whole.info[name] for name in ("files", "dropped")
    }
    assert [len(corpus.info["inputs"][kind]) for kind in ("fasta", "annotation")] == [2, 1]
    (tmp_path / "3.fa").write_text(">chr3\nACGT\n")
    with pytest.raises(InputError, match=r"a.gtf: none of its contigs \(chr1, chr2 ...\) is in 3.fa \(chr3 ...\)"):
        extract_genes([*fastas, tmp_path / "3.fa"], annotation, tmp_path / "three", validation=0.33)


def test_no_more_contigs_are_taken_than_are_named(two, tmp_path):
    fastas, annotation, whole = two
    fastas[0].write_text(f">chr1\n{CHR1}\n>chr3\n{CHR1}\n")
    annotation.write_text("".join([*GENES, gene("3", 1, 20), gene("3", 21, 40, kind="lncRNA")]))
    named = {"train_contigs": ["1"], "test_contigs": ["chr2"]}
    corpus = extract_genes(fastas, annotation, tmp_path / "named", validation=0.33, **named)
    assert list(corpus.info["contigs"]) == ["chr1", "chr2"]
    assert corpus.info["dropped"]["on a contig not asked for"] == 2
    assert corpus.info["dropped"]["another biotype"] == 0
    assert corpus.info["files"] == whole.info["files"]
    shares = {"split": "random", "validation": 0.33, "test": 0.33}
    alone = extract_genes(fastas[0], annotation, tmp_path / "alone", train_contigs=["chr1"], **shares)
    assert alone.genes["contig"].tolist() == ["chr1"] * 3


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"train_contigs": ["1"], "test_contigs": ["chr1"]}, "chr1: both learnt from and held out"),
        ({"train_contigs": ["1"]}, "train_contigs names chr1; name those held out too, as test_contigs"),
        ({"train_contigs": ["1"], "test_contigs": ["7"]}, "no contig 'chr7' in the sequence; "),
        (
            {"test_contigs": ["2"], "split": "random"},
            "chr2, but split='random' holds out genes, not contigs; name",
        ),
    ],
)
def test_contigs_that_are_named_must_be_there_and_held_out(make, named, message):
    with pytest.raises(InputError, match=message):
        make(**named)


def test_the_same_input_gives_the_same_files(make):
    first = make(validation=0.33).info["files"]
    assert make(out="again", validation=0.33).info["files"] == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"biotypes": ("miRNA",)},
            r"a.gtf: no gene is left after filtering \(dropped: 5 another biotype\); .* miRNA",
        ),
        ({"min_length": 99}, r"dropped: 5 shorter than min_length"),
        (
            {"genes": [gene("3", 1, 9)]},
            r"a.gtf: none of its contigs \(chr3 ...\) is in a.fa \(chr1, chr2 ...\)",
        ),
        (
            {"genes": [*GENES, gene("2", 1, 41)]},
            r"a.gtf, line 16: expected coordinates inside chr2, which has 40 bases",
        ),
        (
            {"fasta": ">1\nACGT\n>chr1\nACGT\n", "genes": [gene("2", 1, 2)]},
            r"contig 'chr1' was read before as '1'",
        ),
        ({"test_contigs": ["chr1", "chr2"]}, "the train split holds none of the 4 genes"),
    ],
)
def test_what_leaves_nothing_is_refused_and_no_corpus_written(make, tmp_path, options, message):
    with pytest.raises(InputError, match=message) as caught:
        make(**options)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fa", "a.gtf"]


def test_files_must_pair(tmp_path):
    for annotations in ([], ["c", "d", "e"]):
        with pytest.raises(InputError, match=f"one annotation file for all FASTA.*; found {len(annotations)} and 2"):
            extract_genes([tmp_path / "a", tmp_path / "b"], annotations, tmp_path / "out")


def test_a_full_disk_leaves_the_earlier_corpus_whole(make, monkeypatch, tmp_path):
    before = make(validation=0.33)

    def full(*_args, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.save", full)
    with pytest.raises(DiskFull, match=r"corpus/intervals.parquet: the disk is full"):
        make(validation=0.33, max_n=1)
    assert Corpus.load(before.folder).info == before.info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fa", "a.gtf", "corpus"]


def test_extracting_again_leaves_other_files_alone(make):
    folder = make(validation=0.33).folder
    (folder / "record.json").write_text("kept")
    again = make(validation=0.25, max_n=1)
    assert len(Corpus.load(folder)) == len(again) == 5
    assert (folder / "record.json").read_text() == "kept"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["corpus.json", "record.json", *FILES])


def test_a_corpus_replaced_by_half_is_noticed(make, monkeypatch):
    folder = make(validation=0.33).folder
    replace = os.replace

    def stop_at_codes(source, target):
        if Path(target).name == "codes.npy":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("os.replace", stop_at_codes)
    with pytest.raises(KeyboardInterrupt):
        make(validation=0.25, max_n=1)
    with pytest.raises(InputError, match=r"offsets.npy: changed since the corpus was made"):
        Corpus.load(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["corpus.json", *FILES])


@pytest.fixture
def genome(sample):
    """Sequence and annotation of the sample."""
    return (
        [sample["chr19.fa.gz"], sample["chr22.fa.gz"]],
        [sample["chr19.gff3.gz"], sample["chr22.gtf.gz"]],
    )


def test_a_random_split_takes_no_heed_of_place(genome, tmp_path):
    corpus = extract_genes(*genome, tmp_path / "corpus", split="random", validation=0.2, test=0.2, seed=1)
    assert [len(corpus.indices(name)) for name in ("train", "validation", "test")] == [59, 19, 19]
    assert corpus.info["held_out"]["test"] == "20% of the genes, drawn at random by seed 1"
    genes = corpus.genes.assign(split=corpus.split)
    assert genes["contig"][genes["split"] == 2].nunique() == 2
    assert "family" not in genes
    # Genes that overlap may now be in different splits; they are then of different loci.
    assert (genes.groupby("locus")["split"].nunique() == 1).all()
    assert len(windows(corpus, "test", length=100, count=500)) > 300
    assert leakage(corpus).query("type == 'all'")["share_bases"].min() > 0.25


def test_families_are_in_one_split(genome, tmp_path):
    corpus = extract_genes(*genome, tmp_path / "corpus", split="family", test=0.2)
    genes = corpus.genes.assign(split=corpus.split)
    assert (genes.groupby("family")["split"].nunique() == 1).all()
    assert genes["family"].nunique() == 67
    family = genes.set_index("symbol")["family"]
    assert family["ZNF440"] == family["ZNF69"] and family["LDLR"] == family["SPC24"] != family["ZNF69"]


def test_a_test_gene_that_equals_one_of_train_is_dropped_unless_asked_for(make):
    twin = [*GENES, gene("2", 21, 40)]
    fasta = f">chr1\n{CHR1}\n>chr2\n{CHR2[:20]}{CHR1[20:40]}\n"  # a gene on the other strand than its twin
    corpus = make(twin, fasta=fasta, validation=0.33)
    assert corpus.genes["id"][corpus.split == 2].tolist() == ["g2_1"]
    assert corpus.info["dropped"]["a test gene equal to one of train or validation"] == 1
    kept = make(twin, fasta=fasta, validation=0.33, allow_duplicates=True)
    assert kept.genes["id"][kept.split == 2].tolist() == ["g2_1", "g2_21"]
    assert (kept.info["test_copies"], corpus.info["test_copies"]) == (1, 0)
    with pytest.raises(InputError, match=r"the test split holds none of the 3 genes .* equal to one of train"):
        make([*GENES[:4], gene("2", 21, 40)], fasta=fasta, validation=0.33)


def test_an_unknown_rule_is_refused(make):
    with pytest.raises(InputError, match="split='contig': no such rule; expected one of chromosome, family, random"):
        make(split="contig")


def test_transcription_starts_of_the_sample(corpus):
    genes = corpus.genes.set_index("symbol")
    ldlr = genes.loc["LDLR"]
    assert (ldlr["start"], ldlr["end"], ldlr["strand"]) == (1_089_361, 1_133_816, "+")
    assert ldlr["tss"].tolist()[0] >= ldlr["start"]
    inside = [(row.start <= site < row.end) for row in genes.itertuples() for site in row.tss]
    assert len(inside) > 300 and all(inside)


@pytest.mark.data
@pytest.mark.slow
def test_the_default_corpus(full_corpus):
    splits = full_corpus.info["splits"]
    assert {name: tuple(counts.values()) for name, counts in splits.items()} == {
        "train": (1269, 941, 32_391_911, 29_477_640),
        "validation": (198, 146, 3_822_456, 3_275_486),
        "test": (447, 344, 20_625_187, 19_071_100),
    }
    assert full_corpus.info["dropped"]["across a cut between splits"] == 1
    assert not (full_corpus.all_codes == 4).any()


@pytest.mark.data
@pytest.mark.slow
def test_two_chromosomes_by_the_annotation_of_the_whole_genome(tmp_path):
    """Ensembl 113 is GENCODE 47; on chr22 its coding genes are those of the default corpus."""
    files = fetch("grch38", members=["chr19.fa", "chr22.fa", "ensembl_113.gff3"])
    *fastas, annotation = files.values()
    corpus = extract_genes(fastas, annotation, tmp_path / "corpus", train_contigs=["chr19"], test_contigs=["chr22"])
    assert {name: tuple(counts.values()) for name, counts in corpus.info["splits"].items()} == {
        "train": (1283, 945, 33_255_147, 30_083_588),
        "validation": (194, 141, 3_907_514, 3_336_189),
        "test": (447, 344, 20_625_187, 19_071_100),
    }
    assert corpus.info["dropped"]["on a contig not asked for"] == 73_634
    assert corpus.info["dropped"]["another biotype"] == 3_373
    assert {name: its["name_in_annotation"] for name, its in corpus.info["contigs"].items()} == {
        "chr19": "19",
        "chr22": "22",
    }


@pytest.mark.data
@pytest.mark.slow
def test_genes_of_all_types_as_short_as_the_papers(chromosomes, tmp_path):
    corpus = extract_genes(
        [chromosomes["chr19.fa"], chromosomes["chr22.fa"]],
        [chromosomes["chr19.gff3"], chromosomes["chr22.gtf"]],
        tmp_path / "corpus",
        biotypes=None,
        max_length=1000,
        split="random",
        validation=0.2,
        test=0.2,
    )
    assert {name: (counts["genes"], counts["span_bases"]) for name, counts in corpus.info["splits"].items()} == {
        "train": (785, 320_403),
        "validation": (261, 101_198),
        "test": (259, 112_731),
    }
    assert corpus.info["dropped"]["a test gene equal to one of train or validation"] == 2
    types = corpus.genes["type"].value_counts()
    assert types[["processed_pseudogene", "miRNA", "lncRNA", "misc_RNA", "protein_coding"]].tolist() == [
        311,
        187,
        123,
        122,
        17,
    ]
