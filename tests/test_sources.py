"""A run's annotation, tracks and repeats: where they are, what is counted of them, what is said of those that lack."""

from types import SimpleNamespace

import numpy as np
import pytest

from dnastudy.files import InputError, sha256
from dnastudy.genes import encode
from dnastudy.study.inputs import locate_tracks, note_not_run, note_silent, read_annotated, read_run_tracks
from dnastudy.study.parameters import declared_parameters
from dnastudy.study.record import Run

NAME = "09_label_regulatory_sequence"
GTF = """\
a\tx\tgene\t11\t60\t.\t+\t.\tgene_id "g"; gene_type "protein_coding";
a\tx\ttranscript\t11\t60\t.\t+\t.\tgene_id "g"; transcript_id "t"; transcript_type "protein_coding";
a\tx\texon\t11\t20\t.\t+\t.\tgene_id "g"; transcript_id "t";
a\tx\texon\t41\t60\t.\t+\t.\tgene_id "g"; transcript_id "t";
a\tx\tCDS\t15\t20\t.\t+\t0\tgene_id "g"; transcript_id "t";
a\tx\ttranscript\t21\t60\t.\t+\t.\tgene_id "g"; transcript_id "u"; tag "mRNA_start_NF";
a\tx\texon\t21\t60\t.\t+\t.\tgene_id "g"; transcript_id "u";
a\tx\tCDS\t21\t60\t.\t+\t0\tgene_id "g"; transcript_id "u";
c\tx\tgene\t1\t9\t.\t+\t.\tgene_id "other"; gene_type "protein_coding";
"""


def a_run(tmp_path, **changes):
    defaults = {name: parameter.default for name, parameter in declared_parameters(NAME).items()}
    return Run(NAME, defaults | {"out": str(tmp_path / "out")} | changes)


def test_tracks_that_go_with_the_contigs(sample, tmp_path):
    def located(**given):
        return locate_tracks(SimpleNamespace(**{"dataset": "sample", "fasta": "", "repeats": "", **given}))

    annotations, repeats = located()
    assert [path.name for path in annotations] == ["chr19.gff3.gz", "chr22.gtf.gz"] and repeats.name == "repeats.bed.gz"
    own = {"fasta": "my.fa", "annotation": f"{tmp_path}/my.gtf"}
    assert located(**own) == ([tmp_path.resolve() / "my.gtf"], None)
    assert located(**own, repeats=str(sample["repeats.bed.gz"])) == (
        [tmp_path.resolve() / "my.gtf"],
        sample["repeats.bed.gz"].resolve(),
    )
    assert located(dataset="king-james")[1] is None


def test_annotations_are_booked_and_counted_on_the_contigs_at_hand(tmp_path):
    (tmp_path / "my.gtf").write_text(GTF)
    run, genome = a_run(tmp_path), {"a": encode("A" * 60), "b": encode("ACGT")}
    found = read_annotated(run, [tmp_path / "my.gtf"], genome)
    assert (found.genes["id"].tolist(), found.starts["position"].tolist()) == (["g", "other"], [10])
    assert run.data["annotation"] == {
        "genes": 1,
        "transcription starts of coding transcripts": 1,
        "coding transcripts left out, whose 5' end is incomplete": 1,
        "donors": 1,
        "acceptors": 1,
        "files": {"my.gtf": sha256(tmp_path / "my.gtf")},
    }
    assert run.notes[0].startswith("annotation: 1 genes, 1 transcription starts of coding transcripts, 1 coding")
    with pytest.raises(InputError, match="expected coordinates inside a, which has 40 bases"):
        read_annotated(run, [tmp_path / "my.gtf"], {"a": encode("A" * 40)})


def test_tracks_left_at_the_samples_say_so_where_they_do_not_fit(tmp_path):
    genome = {"chr7": np.zeros(1000, dtype=np.uint8)}
    with pytest.raises(InputError, match=r"no interval on chr7; .* alike. tracks is at its default, .* -r tracks \"\""):
        read_run_tracks(a_run(tmp_path), genome)
    assert read_run_tracks(a_run(tmp_path, tracks=""), genome) is None
    with pytest.raises(InputError, match="no manifest 'mine'") as error:
        read_run_tracks(a_run(tmp_path, tracks="mine"), genome)
    assert "default" not in str(error.value)


def test_contigs_that_nothing_is_known_of_are_named(tmp_path):
    run = a_run(tmp_path)
    assert note_silent(run, ["b", "a", "c"], ["a", "x"], "repeats") == ["b", "c"]
    assert note_silent(run, ["a"], ["a"]) == []
    assert [note.partition(" in the")[0] for note in run.notes] == ["b, c: without repeats"]


def test_what_is_not_run_is_said_with_its_address(tmp_path):
    run = a_run(tmp_path)
    note_not_run(run, ["clinical variants"], "give a VCF")
    address = "https://ftp.ncbi.nlm.nih.gov/pub/clinvar/vcf_GRCh38/clinvar.vcf.gz"
    assert run.notes == [f"not run: clinical variants, {address}; give a VCF"]
