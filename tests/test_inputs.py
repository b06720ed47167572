"""What a notebook's parameters are turned into: the corpus of whatever was given, and every refusal."""

import gzip
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaml
from http_server import running_server

from dnastudy.chapters.detect_mutations import build_pairs, build_published_pairs, build_variant_pairs
from dnastudy.chapters.extract_genes import input_counts
from dnastudy.files import InputError
from dnastudy.genes import decode, leakage, load_sequences
from dnastudy.genes.manifest import MANIFESTS
from dnastudy.study.inputs import annotated, build_corpus, chromosomes, smoke_corpus
from dnastudy.study.parameters import declared_parameters
from dnastudy.study.record import Run

HEADER = "NCBIGeneID,Symbol,Description,GeneType,GeneGroupIdentifier,GeneGroupMethod,NucleotideSequence\n"


@pytest.fixture
def parameters():
    """The defaults of the chapter with others on top."""
    defaults = {name: p.default for name, p in declared_parameters("01_extract_genes").items()}

    def changed(**others):
        assert others.keys() <= defaults.keys()
        return defaults | others

    return changed


def paper_tables():
    """Tables of the published columns: three genes to train from, and one each for the rest and for both at once."""
    random = np.random.default_rng(0)
    genes = ["".join(random.choice(list("ACGT"), length)) for length in (60, 70, 80, 90, 100)]
    rows = [f"{n},G{n},a gene,{'PSEUDO' if n % 2 else 'tRNA'},,,<{gene}>\n" for n, gene in enumerate(genes)]
    parts = {"train": rows[:3], "validation": rows[3:4], "test": rows[4:], "train_validation": rows[:4]}
    return {f"{name}.csv": (HEADER + "".join(part)).encode() for name, part in parts.items()}


@pytest.fixture
def paper(monkeypatch, tmp_path):
    """The manifest of the paper's corpus, with small tables in the place of its own, at another address."""
    monkeypatch.setenv("DNASTUDY_DATA", str(tmp_path / "data"))
    manifest = yaml.safe_load((MANIFESTS / "human-genes-paper.yaml").read_text())
    assert list(manifest["members"]) == ["train.csv", "validation.csv", "test.csv", "train_validation.csv"]
    with running_server(monkeypatch) as server:
        for name, content in paper_tables().items():
            member = manifest["members"][name]
            member["git_blob"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            member["sources"] = [{"url": server.url(f"/{name}")}]
            server.serve(f"/{name}", content)
        path = tmp_path / "paper.yaml"
        path.write_text(yaml.safe_dump(manifest))
        yield path, server


@pytest.fixture
def vocabulary_run(tmp_path):
    """A run of 02_train_tokenizers with some parameters of its own."""
    defaults = {name: p.default for name, p in declared_parameters("02_train_tokenizers").items()}
    return lambda **others: Run("02_train_tokenizers", defaults | {"out": str(tmp_path / "out")} | others)


def test_contigs_without_an_annotated_gene_are_counted(parameters, tmp_path):
    bases = np.random.default_rng(0).choice(list("ACGT"), 300)
    contigs = {name: "".join(np.roll(bases, 7 * number)) for number, name in enumerate("abc")}
    (tmp_path / "my.fa").write_text("".join(f">{name}\n{letters}\n" for name, letters in contigs.items()))
    line = '{0}\tx\tgene\t{1}\t{2}\t.\t+\t.\tgene_id "{0}{1}"; gene_type "protein_coding";\n'
    places = [("a", 1), ("a", 101), ("a", 240), ("c", 150)]
    (tmp_path / "my.gtf").write_text("".join(line.format(name, at, at + 49) for name, at in places))
    given = parameters(fasta=str(tmp_path / "my.fa"), annotation=str(tmp_path / "my.gtf"), validation_share=0.4)
    corpus = build_corpus(given | {"test_contigs": "c"}, tmp_path / "corpus")
    assert annotated(corpus) == ["a", "c"]
    counts = input_counts(corpus).set_index("what")["count"]
    assert counts["contigs without an annotated gene"] == 1


def test_chromosomes_of_the_sample_with_its_repeats(vocabulary_run):
    run = vocabulary_run()
    found = chromosomes(run)
    assert {split: list(part.contigs) for split, part in found.items()} == {
        "train": ["chr19:10000001-12000000"],
        "test": ["chr22:37500001-38400000"],
    }
    assert found["train"].repeats.mean() == pytest.approx(0.600725)
    assert run.data["corpus"]["contigs"]["chr22:37500001-38400000"]["m5"] == "15a50dfb15e9c0aa6486f7c30f36685f"
    assert run.data["repeats"]["file"] == "repeats.bed.gz"
    assert run.notes == ["learnt from: chr19:10000001-12000000", "held out: chr22:37500001-38400000"]


def test_chromosomes_of_ones_own(vocabulary_run, tmp_path):
    (tmp_path / "my.fa").write_text(">a\nACGTA\n>b\nGG\n")
    run = vocabulary_run(fasta=str(tmp_path / "my.fa"), train_contigs="b")
    found = chromosomes(run)
    assert [decode(part.codes) for part in found.values()] == ["GG", "ACGTA"]
    assert found["train"].repeats is None
    assert "repeats" not in run.data
    (tmp_path / "one.fa").write_text(">a\nACGTA\n")
    alone = vocabulary_run(fasta=str(tmp_path / "one.fa"))
    assert [list(part.contigs) for part in chromosomes(alone).values()] == [["a:1-2"], ["a:3-5"]]
    with pytest.raises(InputError, match="a: nothing left to learn from; give two contigs"):
        chromosomes(alone, halves=False)


def test_no_more_is_fetched_than_the_contigs_asked_for(vocabulary_run, monkeypatch):
    asked = []
    monkeypatch.setattr("dnastudy.study.inputs.fetch", lambda name, members: asked.append(members) or {})
    with pytest.raises(KeyError):
        chromosomes(vocabulary_run(dataset="grch38", train_contigs="21", test_contigs="chr22"))
    assert asked == [["chr21.fa", "chr22.fa"]]


def test_no_more_of_a_genome_is_fetched_for_its_genes_than_the_contigs_asked_for(parameters, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "dnastudy.study.inputs.fetch", lambda name, members: {m: asked.append(m) or tmp_path / m for m in members}
    )
    given = parameters(dataset="grch38", train_contigs="chr21", test_contigs="22")
    with pytest.raises(InputError, match=r"ensembl_113.gff3: cannot be read"):
        build_corpus(given, tmp_path / "corpus")
    assert asked == ["chr21.fa", "chr22.fa", "ensembl_113.gff3"]
    asked.clear()
    with pytest.raises(InputError, match=r"chr19.gff3: cannot be read"):
        build_corpus(given | {"dataset": "chr19-chr22", "train_contigs": "19"}, tmp_path / "corpus")
    assert asked == ["chr19.fa", "chr22.fa", "chr19.gff3", "chr22.gtf"]
    with pytest.raises(InputError, match=r"chr22.gtf: cannot be read"):
        build_corpus(parameters(dataset="chr19-chr22", split="random", train_contigs="22"), tmp_path / "corpus")
    assert asked[4:] == ["chr22.fa", "chr22.gtf"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dataset": "king-james"}, "dataset='king-james': holds no sequence"),
        (
            {"dataset": "grch38", "train_contigs": "23", "test_contigs": "22"},
            "dataset='grch38': no contig 'chr23' in it",
        ),
    ],
)
def test_a_dataset_without_the_chromosomes_is_refused(vocabulary_run, parameters, message):
    with pytest.raises(InputError, match=message):
        chromosomes(vocabulary_run(**parameters))


def test_the_papers_corpus_from_its_manifest(paper, parameters, tmp_path):
    path, server = paper
    corpus = build_corpus(parameters(dataset=str(path)), tmp_path / "corpus")
    assert [len(corpus.indices(name)) for name in ("train", "validation", "test")] == [3, 1, 1]
    assert corpus.genes["symbol"].tolist() == ["G0", "G1", "G2", "G3", "G4"]
    assert corpus.genes["type"].tolist() == ["tRNA", "PSEUDO", "tRNA", "PSEUDO", "tRNA"]
    assert corpus.info["held_out"] == {"validation": "a file of its own", "test": "a file of its own"}
    assert [each["file"] for each in corpus.info["inputs"]["test"]] == ["test.csv"]
    assert server.asked == ["/train.csv", "/validation.csv", "/test.csv"]
    assert set(input_counts(corpus)["unit"]) == {"bases", "contigs"}


def test_a_table_that_is_not_the_papers_is_refused(paper, parameters, tmp_path):
    path, server = paper
    server.serve("/test.csv", paper_tables()["train.csv"])
    with pytest.raises(InputError, match=r"human-genes-paper: test.csv could not be had .* expected git_blob \w+"):
        build_corpus(parameters(dataset=str(path)), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_dataset_of_neither_kind_is_refused(parameters, tmp_path):
    with pytest.raises(InputError, match=r"dataset='repeats-hg38': expected sequence and annotation, or tables"):
        build_corpus(parameters(dataset="repeats-hg38"), tmp_path / "corpus")


def test_contigs_of_ready_sequences_are_refused(parameters, tmp_path):
    (tmp_path / "all.csv").write_bytes(paper_tables()["train_validation.csv"])
    with pytest.raises(InputError, match="test_contigs names contigs, but ready sequences lie on none; empty both"):
        build_corpus(parameters(train_sequences=str(tmp_path / "all.csv"), test_contigs="chr1"), tmp_path / "corpus")


def test_ready_sequences_come_before_the_dataset_and_are_drawn_by_the_rule(parameters, tmp_path):
    genes = paper_tables()["train_validation.csv"]
    (tmp_path / "all.csv").write_bytes(genes)
    given = parameters(train_sequences=str(tmp_path / "all.csv"), split="family", test_share=0.5, seed=2)
    corpus = build_corpus(given, tmp_path / "corpus")
    assert [len(corpus.indices(name)) for name in ("train", "validation", "test")] == [1, 1, 2]
    assert corpus.info["held_out"]["test"] == "50% of the genes, drawn at random by seed 2"
    assert corpus.genes["family"].nunique() == 4


@pytest.mark.parametrize("biotypes", ["", "all"])
def test_all_types_of_genes_up_to_a_length(parameters, tmp_path, biotypes):
    given = parameters(biotypes=biotypes, max_length=1000, split="random", validation_share=0.2, test_share=0.2)
    corpus = build_corpus(given, tmp_path / "corpus")
    assert [len(corpus.indices(name)) for name in ("train", "validation", "test")] == [26, 8, 8]
    assert corpus.genes["type"].value_counts().head(2).to_dict() == {"miRNA": 14, "misc_RNA": 8}
    assert np.diff(corpus.offsets).max() <= 1000
    assert set(leakage(corpus)["type"]) > {"all", "misc_RNA"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train_sequences": "a.fa", "fasta": "b.fa"}, "train_sequences and fasta are both given"),
        ({"test_sequences": "a.fa"}, "train_sequences is empty, but other sequences are given"),
        ({"fasta": "a.fa,b.fa", "annotation": "1.gtf,2.gtf,3.gtf"}, "one annotation .* for all: found 2 and 3 files"),
        ({"annotation": "a.gtf"}, "one annotation .* for all: found 0 and 1 files"),
        ({"split": "contigs"}, "split='contigs': no such rule"),
        ({"split": "family", "family_method": "blast"}, "family_method='blast': no such method"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(parameters, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        build_corpus(parameters(**given), tmp_path / "corpus")


@pytest.fixture
def detecting(tmp_path):
    """A run of 08_detect_mutations on a corpus, with its defaults and others on top."""
    defaults = {name: p.default for name, p in declared_parameters("08_detect_mutations").items()}

    def on(corpus, **others):
        return Run("08_detect_mutations", defaults | {"out": str(tmp_path / "out")} | others), corpus

    return on


@pytest.fixture
def short_genes(tmp_path):
    """Forty ready sequences of 100 to 139 bases."""
    random = np.random.default_rng(1)
    lines = [f">g{n}\n{''.join(random.choice(list('ACGT'), 100 + n))}\n" for n in range(40)]
    (tmp_path / "genes.fa").write_text("".join(lines))
    return load_sequences(tmp_path / "short", train=tmp_path / "genes.fa")


def test_pairs_of_stretches_know_the_places_of_their_substitutions(detecting, corpus):
    pairs = build_pairs(*detecting(corpus, genes=5, length=200, edits="1,2", indel_edits="3"))
    assert pairs.groupby(["kind", "edits"], sort=False).size().to_dict() == {
        ("substitution", 1): 5,
        ("substitution", 2): 5,
        ("insertion", 3): 5,
        ("deletion", 3): 5,
    }
    assert pairs["places"].notna().tolist() == [True] * 10 + [False] * 10
    for pair in pairs[:10].itertuples():
        differ = [n for n, (a, b) in enumerate(zip(pair.real, pair.mutated, strict=True)) if a != b]
        places = [int(place) for place in pair.places.split(",")]
        (start,) = {place - at for place, at in zip(places, differ, strict=True)}
        assert len(places) == pair.edits and decode(corpus.all_codes[start : start + 200]) == pair.real
        gene = np.searchsorted(corpus.offsets, start, side="right") - 1
        assert pair.group == corpus.genes["locus"][gene]


def test_genes_too_short_for_the_edits_are_left_out(detecting, short_genes):
    run, _ = detecting(short_genes, genes=8, length=150, edits="110", kinds="substitution")
    pairs = build_pairs(run, short_genes)
    assert pairs["real"].str.len().min() > 110 and pairs["places"].notna().all() and pairs["group"].notna().all()
    assert run.notes[-1].endswith("test genes hold no more than 110 known bases, too few to edit: left out")
    with pytest.raises(InputError, match=r"500 edits in a sequence of 1.. known bases"):
        build_pairs(*detecting(short_genes, genes=8, edits="500"))


def test_pairs_of_no_kind_are_refused(detecting, corpus):
    with pytest.raises(InputError, match="no pair to make: name one or more kinds"):
        build_pairs(*detecting(corpus, kinds=""))


def test_the_published_pairs_are_of_whole_genes_where_these_are_short(detecting, corpus, short_genes):
    run, _ = detecting(short_genes, published_draws=30, published_most="1,5")
    pairs = build_published_pairs(run, short_genes)
    assert pairs["most"].value_counts().to_dict() == {1: 30, 5: 30}
    assert set(pairs["real"]) <= set(short_genes.sequences("test")) and not run.notes
    run, _ = detecting(corpus, published_draws=4, published_most="1")
    assert build_published_pairs(run, corpus)["real"].str.len().max() == run.length
    assert run.notes == ["test genes are longer than 1,000 bases: the published protocol is run on the stretches"]


def test_letters_of_own_pairs_that_are_not_scored_are_counted(detecting, corpus, tmp_path):
    (tmp_path / "mine.csv").write_text("id,real,mutated\na,ACGUN,ACGT\nb,ACGT,ACGA\n")
    run, _ = detecting(corpus, pairs=str(tmp_path / "mine.csv"))
    assert build_pairs(run, corpus)["group"].tolist() == ["a", "b"]
    assert run.notes == ["2 letters of the pairs aren't A, C, G or T; they are read as unknown and not scored"]


def test_a_section_that_is_left_out_says_why(detecting, corpus):
    own = "your own pairs are judged"
    for others, reasons in (
        ({"published_draws": 0, "variants": 0}, ("published_draws is 0", "variants is 0")),
        ({"published_most": "", "variants": -1}, ("published_most is empty", "variants is 0")),
        ({"pairs": "mine.tsv", "variants": 0}, (own, own)),
    ):
        run, _ = detecting(corpus, **others)
        assert build_published_pairs(run, corpus).empty and build_variant_pairs(run, corpus).empty
        sections = "the published protocol", "variants that people carry"
        assert run.notes == [
            f"{name}: left out, since {reason}" for name, reason in zip(sections, reasons, strict=True)
        ]


def test_variants_on_contigs_of_other_names_are_noted_with_both(detecting, corpus, tmp_path):
    lines = [f"NC_{number}\t3\tx\tA\tC\n" for number in range(7)]
    (tmp_path / "a.vcf").write_text("".join(lines))
    run, _ = detecting(corpus, variants_dataset=str(tmp_path / "a.vcf"))
    assert build_variant_pairs(run, corpus).empty
    (note,) = run.notes
    contig = corpus.genes["contig"].iloc[corpus.indices("test")[0]]
    assert f"a.vcf has variants on NC_0, NC_1, NC_2, NC_3, NC_4, ..., and the test genes are on {contig}; name" in note


def test_variants_that_disagree_with_the_corpus_are_left_out_and_listed(detecting, corpus, sample, tmp_path):
    lines = gzip.decompress(sample["snps.vcf.gz"].read_bytes()).decode().splitlines()
    test = [line.split("\t") for line in lines if line.startswith("chr22")]
    for fields in test[::5]:
        fields[3] = next(base for base in "ACGT" if base not in (fields[3], fields[4]))
    (tmp_path / "some.vcf").write_text("\n".join("\t".join(fields) for fields in test))
    run, _ = detecting(corpus, variants=1000, variants_dataset=str(tmp_path / "some.vcf"))
    pairs = build_variant_pairs(run, corpus)
    wrong = run.data["variants"]["not_the_reference_allele"]
    assert wrong and set(wrong) <= {fields[2] for fields in test[::5]}
    assert pairs["id"].nunique() == run.data["variants"]["in_test_genes"] - len(wrong) == 75 - len(wrong)
    assert set(pairs["id"]).isdisjoint(wrong)
    assert run.notes[0].startswith(f"some.vcf: {len(test)} single-base variants, 0 of which on contigs without test")
    assert f"{len(wrong)} of which left out since the gene doesn't have the reference allele" in run.notes[0]

    for fields in test:
        fields[3], fields[4] = fields[4], fields[3]
    (tmp_path / "other.vcf").write_text("\n".join("\t".join(fields) for fields in test))
    with pytest.raises(InputError, match="check that both are of the same assembly"):
        build_variant_pairs(*detecting(corpus, variants_dataset=str(tmp_path / "other.vcf")))


def test_a_dataset_without_variants_is_refused_and_genes_without_them_are_noted(detecting, corpus, short_genes):
    with pytest.raises(InputError, match="chr19-chr22: the dataset holds no variants"):
        build_variant_pairs(*detecting(corpus, variants_dataset="chr19-chr22"))
    run, _ = detecting(short_genes)
    assert build_variant_pairs(run, short_genes).empty
    (note,) = run.notes
    assert note == "variants that people carry: left out, since ready sequences have no place on a contig"


def test_variants_of_other_kinds_alone_are_noted(detecting, corpus, tmp_path):
    (tmp_path / "indels.vcf").write_text("22\t2\tx\tA\tAC\n22\t9\ty\tAG\tA\n")
    run, _ = detecting(corpus, variants_dataset=str(tmp_path / "indels.vcf"))
    assert build_variant_pairs(run, corpus).empty
    assert run.notes == ["variants that people carry: left out, since indels.vcf holds no single-base variant"]


def test_two_notebooks_at_once_build_the_small_corpus_once(monkeypatch, tmp_path):
    built = []

    def build(parameters, folder):
        built.append(folder)
        time.sleep(0.3)
        folder.mkdir()
        (folder / "corpus.json").write_text("{}")

    monkeypatch.setattr("dnastudy.study.inputs.build_corpus", build)
    monkeypatch.setattr("dnastudy.study.inputs.PROJECT", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: smoke_corpus(), range(2))
    assert [first] == built == [second]
