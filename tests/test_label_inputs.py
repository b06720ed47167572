"""Chapter 09's inputs on the embedded sample: label sets by name, the splits of contigs, and what is refused."""

import numpy as np
import pytest

from dnastudy.chapters import label_inputs, label_regulatory_sequence
from dnastudy.files import InputError
from dnastudy.genes import decode
from dnastudy.models import NgramModel, save
from dnastudy.study import model_inputs
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
    for table in (material.starts, material.known_starts, material.sites, material.repeats, material.tracks.ctcf):
        assert set(table["contig"]) == {TRAIN, TEST}
    known = set(zip(material.known_starts["contig"], material.known_starts["position"], strict=True))
    assert known > set(zip(material.starts["contig"], material.starts["position"], strict=True)) and len(known) == 883


def test_models_are_looked_at_before_anything_is_made_of_contigs(tmp_path, monkeypatch):
    save(NgramModel(2).fit(["ACGT"]), tmp_path / "mine")
    label_inputs.check_models(a_run(tmp_path, models=str(tmp_path / "mine")))
    label_inputs.check_models(a_run(tmp_path, models="none"))
    monkeypatch.setattr(model_inputs, "smoke_models", lambda kinds: pytest.fail("trained before all else"))
    label_inputs.check_models(a_run(tmp_path))
    (tmp_path / "mine" / "counts.npz").write_bytes(b"")
    for models, message in (("mine", "counts.npz: not the file saved"), ("nowhere", "nowhere: no config.json there")):
        with pytest.raises(InputError, match=message):
            label_inputs.check_models(a_run(tmp_path, models=str(tmp_path / models)))


def test_models_of_the_sample_on_ones_own_input_are_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(model_inputs, "smoke_models", lambda kinds: [])
    for given, notes in (({}, 0), ({"fasta": "my.fa"}, 1), ({"train_labels": "my.csv"}, 1)):
        run = a_run(tmp_path, **given)
        assert model_inputs.model_folders(run) == {}
        assert len([note for note in run.notes if note.startswith("models is empty: small ones that learnt")]) == notes


def test_contigs_of_held_out_examples_have_their_m5_where_it_is_known(material, tmp_path):
    run = a_run(tmp_path, tasks="splice,elements")
    run.data["corpus"] = {"contigs": {TRAIN: {"m5": "one"}, TEST: {"m5": "two"}}}
    sets = label_inputs.build_label_sets(run, material, None)
    assert label_inputs.held_out(run, material, sets) == {
        TEST: "two",
        "chr1": None,
    }  # the elements have their own
    assert label_inputs.held_out(run, None, sets) == {}


def test_contigs_of_variants_are_held_out_whatever_the_labels(material, tmp_path):
    run = a_run(tmp_path, tasks="elements")
    run.data["corpus"] = {"contigs": {TRAIN: {"m5": "one"}, TEST: {"m5": "two"}}}
    sets = label_inputs.build_label_sets(run, material, None)
    assert label_inputs.held_out(run, material, sets) == {TEST: "two", "chr1": None}


@pytest.mark.parametrize("changes", [{"tasks": ""}, {"tasks": "splice,promoters", "negatives": ""}])
def test_tasks_and_kinds_of_negatives_are_named(material, tmp_path, changes):
    name = min(changes, key=changes.get)
    with pytest.raises(InputError, match=f"{name} is empty: name one or more of"):
        label_inputs.build_label_sets(a_run(tmp_path, **changes), material, None)


def test_contigs_are_named_once_and_none_is_left_over(tmp_path):
    for changes, message in (
        ({"train_contigs": TEST, "test_contigs": TEST}, "both learnt from and held out; name each contig once"),
        ({"test_contigs": f"{TRAIN},{TEST}"}, "nothing left to learn from; give two contigs"),
        ({"train_contigs": f"{TRAIN},{TEST}"}, "nothing left to hold out; give two contigs"),
        ({"test_contigs": "chr7"}, "no contig 'chr7' in"),
    ):
        with pytest.raises(InputError, match=message):
            label_inputs.read_material(a_run(tmp_path, **changes))


def test_two_contigs_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.fa").write_text(">chr1\nACGT\n>1\nGGGG\n")
    (tmp_path / "a.gtf").write_text("")
    run = a_run(tmp_path, fasta=str(tmp_path / "a.fa"), annotation=str(tmp_path / "a.gtf"), dataset="")
    with pytest.raises(InputError, match=r"a.fa: a second contig named chr1; expected one name for each"):
        label_inputs.read_material(run)


def test_a_contig_without_annotated_genes_is_noted(tmp_path, sample):
    files = {"fasta": f"{sample['chr19.fa.gz']},{sample['chr22.fa.gz']}", "annotation": str(sample["chr19.gff3.gz"])}
    with pytest.raises(InputError, match=f"{TEST}: held out, since it comes last, but the annotation has no gene"):
        label_inputs.read_material(a_run(tmp_path, **files, tracks="", repeats=""))
    run = a_run(tmp_path, **files, tracks="", repeats="", test_contigs=TEST)
    assert set(label_inputs.read_material(run).starts["contig"]) == {TRAIN}
    assert [note.partition(",")[0] for note in run.notes[1:]] == [f"{TEST}: without any gene in the files given"]


def test_a_fasta_needs_its_annotation(tmp_path, sample):
    with pytest.raises(InputError, match="annotation is empty: name the GTF or GFF3 file that goes with your FASTA"):
        label_inputs.read_material(a_run(tmp_path, fasta=str(sample["chr19.fa.gz"])))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_labels_need_some_to_learn_from(tmp_path, split):
    with pytest.raises(InputError, match=f"{split}_labels='mine.csv', but train_labels is empty; name the file"):
        label_inputs.read_material(a_run(tmp_path, **{f"{split}_labels": "mine.csv"}))


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
    with pytest.raises(InputError, match="elements can't be made without tracks; name a dataset of"):
        label_inputs.build_label_sets(a_run(tmp_path, tasks="splice,elements"), without, None)


def test_label_sets_come_by_name_with_no_more_than_asked_for(material, tmp_path):
    run = a_run(tmp_path, negatives="tokens,dinucleotides,genomic")
    tokenizer = label_inputs.read_tokenizer(run, material)
    assert len(tokenizer.merges) == run.merges
    sets = label_inputs.build_label_sets(run, material, tokenizer)
    promoters = [f"Prom300, {kind}" for kind in ("tokens", "dinucleotides", "genomic")]
    assert list(sets) == [*promoters, "PromScan", "CTCF", "splice", "DNase"]
    for name, labels in sets.items():
        counts = labels.table["split"].value_counts()
        last = 18 if name == "PromScan" else 0  # windows of the last locus, which is taken whole
        assert counts["train"] <= 60 and counts["validation"] <= 30 and counts["test"] <= 40 + last
    for name, clear in (("Prom300, genomic", 1000), ("PromScan", 0)):
        for row in sets[name].table.query("label == 0").itertuples():
            known = material.known_starts[material.known_starts["contig"] == row.contig]["position"]
            assert not known.between(row.start - clear, row.end + clear - 1).any()
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
    ((name, labels),) = label_inputs.build_label_sets(run, None, None).items()
    assert name == f"own: {tmp_path.name}"
    assert labels.table["split"].value_counts().to_dict() == {"train": 36, "test": 10, "validation": 4}
    assert set(run.data["labels"]) == {"train", "test"}
    assert label_inputs.floor_scores({"mine": labels}, None) == {}
    assert label_inputs.read_known_variants(run, None) is None
    first_look, *shared, left_out = run.notes
    assert [note.partition(" of ")[0] for note in shared] == ["validation: 4", "test: 10"]
    assert first_look.startswith("epochs, trees, cnn_epochs: at the default of a first look at the sample")
    assert left_out == "variants: left out, since your own labels are judged"


def test_labels_of_ones_own_are_whole_but_for_what_is_shared_if_asked(tmp_path):
    letters = [decode(codes) for codes in np.random.default_rng(0).integers(0, 4, (50, 40)).astype(np.uint8)]
    paths = {}
    for split, rows in (("train", range(40)), ("validation", range(40, 44)), ("test", [0, 1, *range(44, 50)])):
        path = tmp_path / f"{split}.csv"
        path.write_text("\n".join(["sequence,label", *(f"{letters[row]},{row % 2}" for row in rows)]))
        paths[f"{split}_labels"] = str(path)
    for drop, test in ((False, 8), (True, 6)):
        few = {"examples": 4, "validation_examples": 2, "test_examples": 2, "epochs": 9, "trees": 9, "cnn_epochs": 9}
        run = a_run(tmp_path, **few, seeds="0,1", drop_shared=drop, **paths)
        (labels,) = label_inputs.build_label_sets(run, None, None).values()
        told = (
            "test: 2 of 8 sequences stand in training, whole (2) or with 31 of their bases; "
            "-p drop_shared True leaves them out"
        )
        assert run.notes == ([] if drop else [told])
        assert labels.table["split"].value_counts().to_dict() == {"train": 40, "validation": 4, "test": test}


def test_known_variants_stand_beside_their_controls(material, tmp_path):
    model = NgramModel(4).fit(["ACGTTGCATTGACCA" * 20])
    run = a_run(tmp_path, variants=10)
    known = label_inputs.read_known_variants(run, material)
    scored = label_inputs.score_known_variants(run, material, known, {"ngram": model})
    assert len(scored) == 10 and set(scored["contig"]) == {TEST} and scored["group"].nunique() > 1
    assert np.isfinite(scored[["llr", "control"]]).all(axis=None)
    assert run.data["variants"]["refused"] == {} and "103 single-base variants" in run.notes[-1]
    assert known[0].index.equals(known[1].index)
    assert label_inputs.score_known_variants(run, material, known, {}).empty
    assert label_inputs.score_known_variants(run, None, None, {"ngram": model}).empty
    assert label_inputs.read_known_variants(a_run(tmp_path, variants=0), material) is None


def test_a_control_lies_where_no_variant_is_known_though_few_are_scored(material, tmp_path):
    # Every second base of 1 kb is known, and one in a hundred is scored.
    codes = material.genome[TEST]
    at = np.arange(300_000, 301_000, 2)
    lines = [f"{TEST}\t{place + 1}\tv{place}\t{'ACGT'[codes[place]]}\t{'CGTA'[codes[place]]}" for place in at]
    (tmp_path / "a.vcf").write_text("\n".join(lines))
    for seed in range(5):
        run = a_run(tmp_path, variants=5, variants_dataset=str(tmp_path / "a.vcf"), seed=seed)
        controls = label_inputs.read_known_variants(run, material)[1]
        assert len(controls) and not controls["position"].isin(at).any()


def test_variants_of_another_assembly_are_refused_by_name(material, tmp_path):
    base = "ACGT"[material.genome[TEST][400_000]]
    (tmp_path / "a.vcf").write_text(f"{TEST}\t400001\tx\t{'CGTA'['ACGT'.index(base)]}\t{base}\n")
    run = a_run(tmp_path, variants_dataset=str(tmp_path / "a.vcf"))
    with pytest.raises(
        InputError, match=r"a.vcf: at 1 of 1 variants the sequence doesn't have REF .*refused.tsv lists"
    ):
        label_inputs.read_known_variants(run, material)
    assert "not the base in the sequence" in (run.out / "variants_refused.tsv").read_text()


def test_no_variant_on_the_held_out_contigs_is_none(material, tmp_path):
    (tmp_path / "a.vcf").write_text("chr7\t1\tx\tA\tC\n")
    run = a_run(tmp_path, variants_dataset=str(tmp_path / "a.vcf"))
    assert label_inputs.read_known_variants(run, material) is None
    none = "a.vcf: 0 single-base variants on the held-out contigs, 0 refused (none); 0 scored"
    assert run.notes == [none]


def test_variants_left_at_the_samples_say_so_where_they_do_not_fit(material, tmp_path):
    run = a_run(tmp_path)
    elsewhere = material._replace(splits={"chr7": "test"}, genome={"chr7": np.zeros(1000, dtype=np.uint8)})
    assert label_inputs.read_known_variants(run, elsewhere) is None
    assert run.notes[2].startswith("variants_dataset is at its default, 'sample', which fits the embedded sample alone")


def test_a_plan_needs_a_seed(tmp_path):
    with pytest.raises(InputError, match="seeds is empty: give one or more numbers, between commas"):
        label_regulatory_sequence.read_plan(a_run(tmp_path, seeds=""))
    assert label_regulatory_sequence.read_plan(a_run(tmp_path, seeds="0,1,2")).seeds == (0, 1, 2)
