"""Notebook 10's parameters become a model, marks, windows and sites of the embedded sample, each checked against it."""

import gzip

import numpy as np
import pandas as pd
import pytest
import torch

from dnastudy.chapters import read_the_grammar
from dnastudy.files import InputError
from dnastudy.genes import decode, encode
from dnastudy.genes.contigs import Contigs
from dnastudy.models import Bert, build
from dnastudy.study.inputs import chromosomes
from dnastudy.study.parameters import declared_parameters
from dnastudy.study.record import Run
from dnastudy.tasks import probe_windows


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A run of the chapter with some parameters changed."""
    defaults = {name: p.default for name, p in declared_parameters("10_read_the_grammar").items()}

    def changed(**others):
        assert others.keys() <= defaults.keys()
        return Run("10_read_the_grammar", defaults | {"out": str(tmp_path_factory.mktemp("out"))} | others)

    return changed


@pytest.fixture(scope="module")
def run(start):
    return start(windows=60, about=20, sites=6, flank=30)


@pytest.fixture(scope="module")
def contigs(run):
    return chromosomes(run)


@pytest.fixture(scope="module")
def marks(run, contigs):
    return read_the_grammar.read_marks(run, contigs)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Bert(layers=1, width=8, heads=2, context=128).eval()


def test_the_first_bert_is_read(start, model, tmp_path, monkeypatch):
    lstm, other = type("Lstm", (), {"kind": "lstm"}), Bert(layers=1, width=8, heads=1)
    loaded = {"lstm": lstm, "one": model, "two": other}
    monkeypatch.setattr(read_the_grammar, "model_folders", lambda run: {name: tmp_path / name for name in loaded})
    monkeypatch.setattr(read_the_grammar, "load_models", lambda run, folders, causal: loaded)
    assert read_the_grammar.read_bert(start()) == ("one", tmp_path / "one", model)
    del loaded["one"], loaded["two"]
    with pytest.raises(InputError, match="models='a': lstm, and no bert among them"):
        read_the_grammar.read_bert(start(models="a"))


def test_nothing_is_asked_of_genes_on_a_contig_without_annotated_ones(start, marks, run, tmp_path):
    assert not [note for note in run.notes if "without" in note]
    assert {name: len(where) for name, where in marks["test"].silent.items()} == {
        "any gene": 0,
        "CpG islands": 0,
        "repeats": 0,
    }
    codes = np.zeros(81, dtype=np.uint8)
    codes[40] = 4
    own = {"train": Contigs(codes, None, {"a": {"length": 40}, "b": {"length": 40}})}
    own["test"] = Contigs(codes[:40], None, {"c": {"length": 40}})
    genes = [f'{name}\tx\tgene\t1\t20\t.\t+\t.\tgene_id "{name}"; gene_type "protein_coding";\n' for name in "ac"]
    (tmp_path / "my.gtf").write_text("".join(genes))
    (tmp_path / "my.fa").touch()
    (tmp_path / "my.bed").write_text("a\t0\t10\nb\t0\t10\n")
    given = {"fasta": "my.fa", "annotation": "my.gtf", "repeats": "my.bed"}
    given = {name: str(tmp_path / file) for name, file in given.items()}
    alone = start(**given, tracks="", windows=4, length=8, about=0)
    found = read_the_grammar.read_marks(alone, own)
    assert [note.partition(" in the")[0] for note in alone.notes[1:]] == ["b: without any gene", "c: without repeats"]
    drawn = read_the_grammar.draw_regions(alone, own, found)["train"]
    on_a = (drawn["end"] <= 40).tolist()
    assert 0 < sum(on_a) < len(on_a) and drawn["in_gene"].notna().tolist() == on_a
    assert (probe_windows.claims(drawn)["TSS"].labels >= 0).tolist() == on_a


def test_marks_of_contigs_in_a_row_stand_where_they_stood(start, tmp_path):
    (tmp_path / "my.bed.gz").write_bytes(gzip.compress(b"a\t1\t3\tx\nb\t0\t2\ty\nc\t1\t2\tz\n"))
    parts = {
        "train": Contigs(encode("ACGTNGGC"), None, {"a": {"length": 4}, "b": {"length": 3}}),
        "test": Contigs(encode("TTT"), None, {"c": {"length": 3}}),
    }
    (tmp_path / "my.fa").touch()
    run = start(fasta=str(tmp_path / "my.fa"), tracks="", regions=str(tmp_path / "my.bed.gz"))
    marks = read_the_grammar.read_marks(run, parts)
    own = {split: its.own["my.bed.gz"][["start", "end", "klass"]].to_numpy().tolist() for split, its in marks.items()}
    assert own == {"train": [[1, 3, "x"], [5, 7, "y"]], "test": [[1, 2, "z"]]}
    assert marks["train"].intervals == {} and marks["train"].motif is None
    drawn = {
        split: probe_windows.draw_regions(its.codes, count=1, length=2, places={}, most=0)
        for split, its in parts.items()
    }
    claims = read_the_grammar.gather_claims(drawn, marks)
    assert {split: its["my.bed.gz"].classes for split, its in claims.items()} == dict.fromkeys(parts, ("x", "y", "z"))


def test_marks_of_the_sample(marks):
    counts = {split: {name: len(its) for name, its in part.intervals.items()} for split, part in marks.items()}
    of_genes = {"genes", "any gene", "TSS", "any start", "donors"}
    assert counts["test"].keys() == of_genes | {"repeats", "CTCF", "CpG islands"}
    assert (counts["train"]["genes"], counts["test"]["genes"]) == (70, 27)
    assert counts["test"]["any gene"] > 27 and counts["test"]["any start"] > counts["test"]["TSS"] > 27
    assert (counts["train"]["repeats"], counts["test"]["repeats"]) == (5564, 2250)
    assert marks["test"].motif.counts.shape == (19, 4)


def test_an_annotation_that_ends_past_its_contig_is_refused(start, sample, tmp_path):
    (tmp_path / "my.fa").touch()
    run = start(fasta=str(tmp_path / "my.fa"), annotation=str(sample["chr22.gtf.gz"]), tracks="")
    name = "chr22:37500001-38400000"
    short = Contigs(np.zeros(1000, dtype=np.uint8), None, {name: {"length": 1000}})
    with pytest.raises(InputError, match="expected coordinates inside chr22:37500001-38400000, which has 1,000 bases"):
        read_the_grammar.read_marks(run, {"test": short})


def test_windows_longer_than_the_context_are_counted_and_noted(start, contigs):
    run = start()
    drawn = {split: pd.DataFrame({"start": [0, 300], "end": [300, 310]}) for split in contigs}
    model = build({"kind": "bert", "layers": 1, "width": 8, "heads": 2, "context": 64})
    read_the_grammar.note_pieces(run, model, contigs, drawn)
    assert run.data["longer than the context"] == {"in_pieces": 2, "longest": 300, "seen": 62}
    assert run.notes[-1].startswith("2 of 4 windows have more than the 62 tokens that the model takes")


def test_windows_of_the_sample_have_all_there_is_to_tell(run, contigs, marks):
    drawn = read_the_grammar.draw_regions(run, contigs, marks)["test"]
    assert drawn["drawn"].value_counts()["anywhere"] == 60 and set(drawn["drawn"]) > {"TSS", "CpG islands"}
    assert {"repeat", "alu", "in_gene", "gene", "tss", "island", "gc"} <= set(drawn)
    assert (drawn.query("drawn == 'TSS'")["tss"]).all()
    track = contigs["test"].repeats
    masked = [track[start:end].mean() for start, end in zip(drawn["start"], drawn["end"], strict=True)]
    assert drawn["in_repeats"].tolist() == pytest.approx(masked)
    assert set(drawn["repeat"].dropna()) >= {"SINE", "none"}


def test_what_only_some_windows_can_be_asked_nobody_is(run, contigs, marks):
    drawn = read_the_grammar.draw_regions(run, contigs, marks)
    claims = read_the_grammar.gather_claims({**drawn, "train": drawn["train"].drop(columns=["repeat", "alu"])}, marks)
    assert list(claims["train"]) == list(claims["test"]) == ["TSS", "CpG island", "gene body", "strand of the gene"]


def test_without_tracks_windows_are_asked_less(start, contigs):
    run = start(tracks="", windows=5, about=3)
    drawn = read_the_grammar.draw_regions(run, contigs, read_the_grammar.read_marks(run, contigs))
    assert "repeat" not in drawn["train"] and "tss" in drawn["train"]
    assert run.notes[-1].startswith("nothing to tell CpG islands, repeats by")


def test_sites_stand_in_the_sequence_on_their_own_strand(run, model, contigs, marks):
    sites = read_the_grammar.find_sites(run, model, contigs, marks)
    donors = sites["splice donor"]
    assert donors.codes.shape == (6, 30 + 9 + 30) and donors.core == (30, 39)
    assert (donors.codes[:, 33:35] == [2, 3]).all()
    assert donors.counts[3:5].argmax(axis=1).tolist() == [2, 3] and donors.counts[3, 2] == donors.counts.sum(axis=1)[0]
    found = sites["CTCF"]
    assert decode(found.codes[0, slice(*found.core)])[3:5] == "CC"  # of CCACNAG
    contig, _, rest = found.names[0].rpartition(":")
    first = int(rest.split("-")[0].replace(",", "")) - 1
    strand = rest[rest.index("(") + 1]
    assert all(", in " in name for name in sites["splice donor"].names)
    stretch = decode(contigs["test"].codes[first : first + 19])
    expected = stretch if strand == "+" else decode(3 - encode(stretch)[::-1])
    assert contig == "chr22:37500001-38400000" and decode(found.codes[0, slice(*found.core)]) == expected


def test_flanks_are_as_long_as_the_context_takes(run, contigs, marks):
    torch.manual_seed(0)
    short = Bert(layers=1, width=8, heads=2, context=41)
    assert read_the_grammar.find_sites(run, short, contigs, marks)["CTCF"].codes.shape[1] == 39


def test_without_marks_there_are_no_sites(start, model, contigs):
    run = start(tracks="")
    bare = dict.fromkeys(contigs, read_the_grammar.Marks({}, {}, {}, {}, None))
    assert read_the_grammar.find_sites(run, model, contigs, bare) == {}
    assert [note.split(":")[0] for note in run.notes[-2:]] == ["CTCF", "splice donor"]


def test_errors_of_classes_are_measured_where_classes_are_told(start, marks):
    run = start(planted=5)
    assert read_the_grammar.class_errors(run, marks["test"])["copies"].min() == 5
    assert read_the_grammar.class_errors(run, read_the_grammar.Marks({}, {}, {}, {}, None)).empty
