"""dnastudy.study.contamination: whether a model's corpus had a contig to learn from, by M5, name and rule."""

import json

import pytest

from dnastudy.files import read_json, write_json
from dnastudy.genes import load_sequences, m5
from dnastudy.models import NgramModel, train_from_config
from dnastudy.models.store import save
from dnastudy.study.contamination import learnt_from, note_learnt, warnings

TRAIN, TEST = "chr19:10000001-12000000", "chr22:37500001-38400000"
INFO = {
    "parameters": {"split": "chromosome"},
    "held_out": {"test": "chr22, chr21", "validation": "chr19 from base 53,253,120, chr20"},
    "contigs": {f"chr{n}": {"m5": f"m{n}", "name_in_annotation": f"{n}"} for n in range(18, 23)}
    | {"chrUn": {"m5": "un", "name_in_annotation": None}},
    "files": {"codes.npy": "abc", "genes.parquet": "def"},
}


@pytest.fixture
def model(tmp_path):
    """Write a model's folder of which no more is read than what it was trained on."""

    def make(name="model", file="learnt_from.json", trained_on=None, wrap=lambda info: info, **changes):
        write_json(tmp_path / name / "config.json", {"trained_on": trained_on or {"codes.npy": "abc"}})
        write_json(tmp_path / name / file, wrap(INFO | changes))
        return tmp_path / name

    return make


def test_what_a_corpus_holds_out_whole_was_not_learnt_from(model):
    asked = {
        "chr18": "m18",
        "chr19": "m19",
        "chr20": "m20",
        "chr21": "m21",
        "chr22": "m22",
        "chrUn": "un",
        "chr7": "m7",
    }
    assert learnt_from(model(), asked) == {
        "chr18": "yes",
        "chr19": "yes",  # but for its far end
        "chr20": "no, by M5 and name",
        "chr21": "no, by M5 and name",
        "chr22": "no, by M5 and name",
        "chrUn": "no, by M5 and name",  # without genes
        "chr7": "no, by M5 and name",
    }


def test_a_sequence_is_known_by_its_m5_and_suspected_by_its_name(model):
    asked = {
        "other": "m18",
        "chr18": "changed",
        "chr18:1-1000": "part",
        "chr19": None,
        "chr22": "changed",
        "chr1": None,
    }
    assert learnt_from(model(), asked) == {
        "other": "yes",
        "chr18": "a sequence of this name",
        "chr18:1-1000": "a sequence of this name",
        "chr19": "a sequence of this name",
        "chr22": "no, by M5 and name",
        "chr1": "no, by name alone",
    }


@pytest.mark.parametrize("rule", ["family", "random"])
def test_genes_held_out_by_another_rule_leave_all_contigs_learnt_from(model, rule):
    held_out = {"test": "10% of the genes", "validation": "chr22"}
    folder = model(parameters={"split": rule}, held_out=held_out)
    assert learnt_from(folder, {"chr22": "m22", "chr7": "m7"}) == {"chr22": "yes", "chr7": "no, by M5 and name"}


def test_an_older_model_is_known_by_its_record(model):
    folder = model(file="record.json", wrap=lambda info: {"data": {"corpus": info | {"parameters": {}}}})
    assert learnt_from(folder, {"chr18": "m18", "chr22": "m22"}) == {"chr18": "yes", "chr22": "no, by M5 and name"}


def test_what_is_not_known_says_why(model, tmp_path):
    for why, folder in {
        "a model of transformers doesn't say": "hf:some/model",
        "its folder has no learnt_from.json that goes with it": model(trained_on={"codes.npy": "of another corpus"}),
    }.items():
        assert learnt_from(folder, {"chr22": "m22"}) == {"chr22": f"unknown: {why}"}
    save(NgramModel(2).fit(["ACGT"]), tmp_path / "fitted")
    assert learnt_from(tmp_path / "fitted", {"a": "b"})["a"].startswith("unknown: its folder has no learnt_from.json")


def test_ready_sequences_have_no_place(tmp_path):
    (tmp_path / "a.csv").write_text("NucleotideSequence\n" + "\n".join("ACGTTGCA"[n:] * 9 for n in range(5)))
    load_sequences(tmp_path / "corpus", train=tmp_path / "a.csv", split="random", validation_share=0.2, test_share=0.2)
    train_from_config({"model": {"kind": "ngram", "order": 2}}, tmp_path / "corpus", tmp_path / "model")
    states = learnt_from(tmp_path / "model", {"chr22": "m22"})
    assert states == {"chr22": "unknown: it was trained on ready sequences, which have no place"}


def test_training_writes_what_was_learnt_from(corpus, tmp_path):
    train_from_config({"model": {"kind": "ngram", "order": 2}}, corpus.folder, tmp_path / "model")
    assert read_json(tmp_path / "model" / "learnt_from.json") == json.loads(json.dumps(corpus.info))
    contigs = {name: its["m5"] for name, its in corpus.info["contigs"].items()}
    assert learnt_from(tmp_path / "model", contigs) == {TRAIN: "yes", TEST: "no, by M5 and name"}
    assert learnt_from(tmp_path / "model", {"chr19": m5("ACGT")}) == {"chr19": "a sequence of this name"}


class FakeRun:
    def __init__(self):
        self.data, self.notes = {}, []

    def note(self, text):
        self.notes.append(text)


def test_a_run_notes_and_books_it_and_gives_a_table(model):
    run = FakeRun()
    table = note_learnt(run, {"gpt": model(), "grover": "hf:grover"}, {"chr18": "m18", "chr22": "m22"})
    assert table.to_numpy().tolist() == [
        ["gpt", "chr18", "yes"],
        ["gpt", "chr22", "no, by M5 and name"],
        ["grover", "chr18", "unknown: a model of transformers doesn't say"],
        ["grover", "chr22", "unknown: a model of transformers doesn't say"],
    ]
    assert run.data["learnt_from"]["gpt"] == {"chr18": "yes", "chr22": "no, by M5 and name"}
    assert run.notes == [
        "gpt has learnt from chr18, so that it may know it by heart: take a model whose corpus (chapter 01) holds it "
        "out, or other contigs",
        "grover: whether it has learnt from chr18, chr22 isn't known, since a model of transformers doesn't say",
    ]


def test_nothing_is_noted_of_a_model_that_has_not_learnt_from_it(model):
    run = FakeRun()
    note_learnt(run, {"gpt": model()}, {"chr22": "m22"})
    assert run.notes == []


def test_sequences_without_a_place_are_noted_once(model):
    run = FakeRun()
    assert note_learnt(run, {"gpt": model("gpt"), "lstm": model("lstm")}, {}).empty
    assert run.notes == [
        "sequences of your own have no place: whether a model has learnt from those held out isn't known"
    ]
    run = FakeRun()
    assert note_learnt(run, {}, {}).empty and run.notes == []


def test_a_line_names_the_contigs_that_it_is_about():
    told = warnings("m", {"a": "yes", "b": "a sequence of this name", "c": "yes", "d": "no, by M5 and name"})
    (first, its), (second, others) = told.items()
    assert first.startswith("m has learnt from a, c, so that") and its == ["a", "c"]
    assert second.startswith("m has learnt from a sequence by the name of b (") and others == ["b"]
