"""Chapter 09's inputs on the embedded sample: label sets by name, the splits of contigs, and what is refused."""

import numpy as np
import pytest

from dnastudy.files import InputError
from dnastudy.models import NgramModel
from dnastudy.study import label_inputs
from dnastudy.study.parameters import declared_parameters
from dnastudy.study.record import Run

NAME = "09_label_regulatory_sequence"
TRAIN, TEST = "chr19:10000001-12000000", "chr22:37500001-38400000"


def a_run(tmp_path, **changes):
    defaults = {name: parameter.default for name, parameter in declared_parameters(NAME).items()}
    return Run(NAME, defaults | {"out": str(tmp_path / "out")} | changes)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return label_inputs.read_material(a_run(tmp_path_factory.mktemp("run")))


def test_the_last_contig_is_held_out(material):
    assert material.splits == {TRAIN: "train", TEST: "test"}
    assert {name: len(codes) for name, codes in material.genome.items()} == {TRAIN: 2_000_000, TEST: 900_000}


def test_starts_sites_and_repeats_lie_on_the_contigs(material):
    for table in (material.starts, material.sites, material.repeats, material.tracks.ctcf):
        assert set(table["contig"]) == {TRAIN, TEST}


def test_contigs_are_named_once_and_none_is_left_over(tmp_path):
    for changes, message in (
        ({"train_contigs": TEST, "test_contigs": TEST}, "both learnt from and held out; name each contig once"),
        ({"test_contigs": f"{TRAIN},{TEST}"}, "nothing left to learn from; give two contigs"),
        ({"train_contigs": f"{TRAIN},{TEST}"}, "nothing left to hold out; give two contigs"),
        ({"test_contigs": "chr7"}, "no contig 'chr7' in"),
    ):
        with pytest.raises(InputError, match=message):
            label_inputs.read_material(a_run(tmp_path, **changes))


def test_a_fasta_needs_its_annotation(tmp_path, sample):
    with pytest.raises(InputError, match="annotation is empty: name the GTF or GFF3 file that goes with your FASTA"):
        label_inputs.read_material(a_run(tmp_path, fasta=str(sample["chr19.fa.gz"])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": "promotors"}, "tasks='promotors': no 'promotors'.*promoters"),
        ({"negatives": "dinucleotide"}, "negatives='dinucleotide': no 'dinucleotide'.*dinucleotides"),
    ],
)
def test_unknown_names_are_refused(material, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        label_inputs.build_label_sets(a_run(tmp_path, **changes), material, None)


def test_a_task_that_needs_tracks_says_so(material, tmp_path):
    without = material._replace(tracks=None)
    with pytest.raises(InputError, match="elements needs tracks; name a dataset of tracks, or leave it out"):
        label_inputs.build_label_sets(a_run(tmp_path, tasks="splice,elements"), without, None)


def test_label_sets_come_by_name_with_no_more_than_asked_for(material, tmp_path):
    run = a_run(tmp_path, negatives="tokens,dinucleotides,genomic")
    tokenizer = label_inputs.read_tokenizer(run, material)
    assert len(tokenizer.merges) == run.merges
    sets = label_inputs.build_label_sets(run, material, tokenizer)
    promoters = [f"Prom300, {kind}" for kind in ("tokens", "dinucleotides", "genomic")]
    assert list(sets) == [*promoters, "PromScan", "CTCF", "splice", "DNase"]
    for labels in sets.values():
        counts = labels.table["split"].value_counts()
        assert counts["train"] <= 60 and counts["validation"] <= 30 and counts["test"] <= 40
    scores = label_inputs.floor_scores(sets, material)
    (train, test) = scores["CTCF"]["CTCF motif"]
    assert len(train) == 60 and len(test) == 40
    assert min(train.min(), test.min()) >= 10  # bits: that is how they were found


def test_labels_of_ones_own_take_no_contigs(tmp_path):
    for split, rows in (("train", 40), ("test", 10)):
        lines = ["sequence,label", *(f"{'ACGT' * 5}{'A' * number},{number % 2}" for number in range(rows))]
        (tmp_path / f"{split}.csv").write_text("\n".join(lines))
    run = a_run(tmp_path, train_labels=str(tmp_path / "train.csv"), test_labels=str(tmp_path / "test.csv"))
    assert label_inputs.read_tokenizer(run, None) is None
    (labels,) = label_inputs.build_label_sets(run, None, None).values()
    assert labels.table["split"].value_counts().to_dict() == {"train": 36, "test": 10, "validation": 4}
    assert set(run.data["labels"]) == {"train", "test"}
    assert label_inputs.floor_scores({"mine": labels}, None) == {}
    assert label_inputs.score_known_variants(run, None, {}).empty
    assert run.notes == ["variants: left out, since your own labels are judged"]


def test_known_variants_stand_beside_their_controls(material, tmp_path):
    model = NgramModel(4).fit(["ACGTTGCATTGACCA" * 20])
    run = a_run(tmp_path, variants=10)
    scored = label_inputs.score_known_variants(run, material, {"ngram": model})
    assert len(scored) == 10 and set(scored["contig"]) == {TEST} and scored["group"].nunique() > 1
    assert np.isfinite(scored[["llr", "control"]]).all(axis=None)
    assert run.data["variants"]["refused"] == {} and "103 single-base variants" in run.notes[-1]
    assert label_inputs.score_known_variants(a_run(tmp_path, variants=0), material, {"ngram": model}).empty


def test_a_plan_needs_a_seed(tmp_path):
    with pytest.raises(InputError, match="seeds is empty: give one or more numbers, between commas"):
        label_inputs.read_plan(a_run(tmp_path, seeds=""))
    assert label_inputs.read_plan(a_run(tmp_path, seeds="0,1,2")).seeds == (0, 1, 2)
