"""Models and floors judged on a label set of which everything is known: class 1 has a word that class 0 lacks."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.genes.fasta import encode
from dnastudy.models import NgramModel, build, save
from dnastudy.tasks import labelling
from dnastudy.tasks.labelling import Plan, judge_models, part, rows_of
from dnastudy.tasks.labels import LabelSet

WORD = encode("GATTACAGATTACA")
TRAINING = {"epochs": 2, "batch": 8, "learning_rate": 1e-2, "warmup": 2, "validate_every": 0, "precision": "fp32"}
PLAN = Plan(TRAINING | {"sampling": "genes"}, seeds=(0, 1), replacements=1, trees=5, epochs=2)


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(0)
    split = ["train"] * 48 + ["validation"] * 12 + ["test"] * 20
    codes = [rng.integers(4, size=40).astype(np.uint8) for _ in split]
    label = np.arange(80) % 2
    for one in np.flatnonzero(label):
        codes[one][13:27] = WORD
    table = pd.DataFrame({"label": label, "split": split, "group": np.arange(80) // 2, "shared": False})
    return LabelSet("words", table.assign(core_start=13, core_end=27), codes, ("none", "word"), {})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    NgramModel(4).fit(["ACGTTGCATTGACCA" * 20]).save(folder / "ngram")
    torch.manual_seed(0)
    save(build({"kind": "lstm", "layers": 1, "width": 16, "embedding": 8}), folder / "lstm")
    save(build({"kind": "bert", "layers": 1, "width": 16, "heads": 2, "context": 30}), folder / "bert")
    return {name: folder / name for name in ("ngram", "lstm", "bert")}


@pytest.fixture(scope="module")
def kept(labels, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    scores = {"words": {"length of A": (np.arange(48.0), np.arange(20.0))}}
    return folder, scores, judge_models({"words": labels}, models, PLAN, folder, floor_scores=scores, device="cpu")


def test_splits_are_taken_apart(labels):
    assert rows_of(labels, "validation").tolist() == list(range(48, 60))
    codes, answers = part(labels, "test")
    assert len(codes) == 20 and answers.tolist() == [0, 1] * 10 and (codes[1][13:27] == WORD).all()


def test_every_use_predicts_every_test_sequence(kept):
    uses = {"fine-tuned": {0, 1}, "random start": {0}, "probe": {0}}
    for model in ("lstm", "bert"):
        table = kept[2]["words", model].predictions
        assert {use: set(part["seed"]) for use, part in table.groupby("use")} == uses
        assert (table.groupby(["use", "seed", "strands"]).size() == 20).all()
        assert table[["p0", "p1"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    ngram = kept[2]["words", "ngram"].predictions
    assert set(ngram["use"]) == {"fine-tuned", "probe"} and set(ngram["strands"]) == {"one", "both"}


def test_floors_stand_beside_with_the_scores_given(kept):
    table = kept[2]["words", "floors"].predictions
    assert set(table["use"]) == {"floor"}
    names = {"majority", "GC", "composition", "TF-IDF + linear", "TF-IDF + forest", "CNN", "positional", "length of A"}
    assert set(table["predictor"]) == names
    right = (table["p1"] > 0.5) == (table["example"] % 2 == 1)
    right = right.groupby(table["predictor"]).mean()
    assert right["majority"] == 0.5 and right["TF-IDF + linear"] == 1.0 and right["positional"] == 0.95


def test_the_word_is_learnt(kept):
    table = kept[2]["words", "ngram"].predictions.query("use == 'fine-tuned' and strands == 'one'")
    assert ((table["p1"] > 0.5).to_numpy() == np.tile([False, True], 10)).sum() >= 18


def test_zero_shot_is_for_sites_of_several_bases(kept, labels):
    for model in ("ngram", "lstm", "bert"):
        assert kept[2]["words", model].scores.groupby(["predictor", "use"]).size().to_dict() == {
            (model, "occlusion"): 20,
            (model, "site likelihood"): 20,
        }
    narrow = labels._replace(table=labels.table.assign(core_end=14))
    assert labelling._has_sites(labels) and not labelling._has_sites(narrow)
    assert not labelling._has_sites(labels._replace(table=labels.table.drop(columns=["core_start", "core_end"])))


def test_what_is_longer_than_the_context_is_counted(kept):
    facts = {model: kept[2]["words", model].facts for model in ("ngram", "lstm", "bert")}
    assert [facts[model]["cut"] for model in facts] == [0, 0, 80]
    assert facts["bert"]["longest"] == 40 and facts["bert"]["seen"] == 28 and facts["bert"]["kind"] == "bert"


def test_what_is_finished_is_not_done_again(kept, labels, models, monkeypatch):
    folder, scores, outcomes = kept
    judged = []

    def again(task, *_):
        judged.append(task[:2])
        return task[:2], outcomes[task[:2]]

    monkeypatch.setattr(labelling, "_judge", again)
    found = judge_models({"words": labels}, models, PLAN, folder, floor_scores=scores, device="cpu")
    assert judged == [] and found["words", "lstm"].predictions.equals(outcomes["words", "lstm"].predictions)
    judge_models({"words": labels}, models, PLAN, folder, device="cpu")  # other floors: other examples
    assert len(judged) == 4
    judged.clear()
    other = dataclasses.replace(PLAN, head_rate=1.0)
    judge_models({"words": labels}, {"lstm": models["lstm"]}, other, folder, floor_scores=scores, device="cpu")
    assert sorted(judged) == [("words", "floors"), ("words", "lstm")]


def test_a_model_named_as_the_floors_is_refused(labels, models, tmp_path):
    with pytest.raises(InputError, match="'floors' is what the floors are called; rename the model's folder"):
        judge_models({"words": labels}, {"floors": models["lstm"]}, PLAN, tmp_path)
