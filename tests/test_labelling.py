"""Models and floors judged on a label set of which everything is known: class 1 has a word that class 0 lacks."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from dnastudy.chapters import label_regulatory_sequence
from dnastudy.chapters.label_regulatory_sequence import Plan, evaluate_models
from dnastudy.files import InputError
from dnastudy.genes.codes import encode
from dnastudy.models import NgramModel, build, save
from dnastudy.models.classify import fine_tune
from dnastudy.tasks.label_sets import LabelSet

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
    save(NgramModel(4).fit(["ACGTTGCATTGACCA" * 20]), folder / "ngram")
    torch.manual_seed(0)
    save(build({"kind": "lstm", "layers": 1, "width": 16, "embedding": 8}), folder / "lstm")
    save(build({"kind": "bert", "layers": 1, "width": 16, "heads": 2, "context": 30}), folder / "bert")
    return {name: folder / name for name in ("ngram", "lstm", "bert")}


@pytest.fixture(scope="module")
def kept(labels, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    scores = {"words": {"length of A": (np.arange(48.0), np.arange(20.0))}}
    return folder, scores, evaluate_models({"words": labels}, models, PLAN, folder, floor_scores=scores, device="cpu")


def test_splits_are_taken_apart(labels):
    assert labels.rows("validation").tolist() == list(range(48, 60))
    codes, answers = labels.part("test")
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
    assert label_regulatory_sequence._has_sites(labels) and not label_regulatory_sequence._has_sites(narrow)
    assert not label_regulatory_sequence._has_sites(
        labels._replace(table=labels.table.drop(columns=["core_start", "core_end"]))
    )


def test_what_is_longer_than_the_context_is_counted(kept):
    facts = {model: kept[2]["words", model].facts for model in ("ngram", "lstm", "bert")}
    assert [facts[model]["in_pieces"] for model in facts] == [0, 0, 80]
    assert facts["bert"]["longest"] == 40 and facts["bert"]["seen"] == 28 and facts["bert"]["kind"] == "bert"


def test_what_is_finished_is_not_done_again(kept, labels, models, monkeypatch):
    folder, scores, outcomes = kept
    judged = []

    def again(task, *_):
        judged.append(task[:2])
        return task[:2], outcomes[task[:2]]

    monkeypatch.setattr(label_regulatory_sequence, "_judge", again)
    found = evaluate_models({"words": labels}, models, PLAN, folder, floor_scores=scores, device="cpu")
    assert judged == [] and found["words", "lstm"].predictions.equals(outcomes["words", "lstm"].predictions)
    evaluate_models({"words": labels}, models, PLAN, folder, device="cpu")  # other floors: other examples
    assert len(judged) == 4
    judged.clear()
    other = dataclasses.replace(PLAN, head_rate=1.0)
    evaluate_models({"words": labels}, {"lstm": models["lstm"]}, other, folder, floor_scores=scores, device="cpu")
    assert sorted(judged) == [("words", "floors"), ("words", "lstm")]


@pytest.mark.parametrize(
    ("identity", "expected"),
    [("this", ["fine-tuned-1", "random-start-0"]), ("other", ["fine-tuned-0", "fine-tuned-1", "random-start-0"])],
)
def test_an_interrupted_piece_keeps_fine_tunings_that_ended(
    identity, expected, kept, labels, models, tmp_path, monkeypatch
):
    calls = []

    def killed_once(*given, **how):
        calls.append(given[3].name)
        if calls == ["fine-tuned-0", "fine-tuned-1"]:
            raise RuntimeError("killed")
        return fine_tune(*given, **how)

    monkeypatch.setattr(label_regulatory_sequence, "fine_tune", killed_once)
    folder = tmp_path / "lstm"

    def judge(of):
        task = ("words", "lstm", str(models["lstm"]), {"of": of}, folder, "cpu", None)
        return label_regulatory_sequence._judge(task, {"words": (labels, {})}, PLAN)[1]

    with pytest.raises(RuntimeError, match="killed"):
        judge("this")
    outcome = judge(identity)
    assert calls[2:] == expected
    pd.testing.assert_frame_equal(outcome.predictions, kept[2]["words", "lstm"].predictions)
    assert not (folder / "tuning").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epochs": 2}, 10),  # 12 steps
        ({"epochs": 100}, 60),
        ({"epochs": 2000}, 500),
        ({"epochs": 0, "steps": 300}, 30),
        ({"epochs": 100, "checkpoint_every": 7}, 7),
    ],
)
def test_checkpoints_are_left_about_every_tenth_of_the_steps(changes, expected):
    plan = dataclasses.replace(PLAN, training=PLAN.training | changes)
    config = label_regulatory_sequence._settings(plan, seed=3, examples=48)
    assert (config.checkpoint_every, config.seed) == (expected, 3)


def test_places_are_looked_at_about_what_all_labels_hang_on(labels):
    table = pd.DataFrame({"contig": ["chr1"] * 80})

    def centre(**columns):
        return label_regulatory_sequence._centre(labels._replace(table=table.assign(**columns)))

    assert centre(core_start=13, core_end=27) == 20
    assert centre(core_start=250, core_end=251) == 250
    assert centre(core_start=[47, 30] * 40, core_end=[56, 53] * 40) == 50  # a donor's and an acceptor's
    assert centre(core_start=[10, 20] * 40, core_end=[20, 30] * 40) is None
    assert centre() is None
    assert centre(contig="") == 20  # a user's own


def test_n_grams_of_the_classes_are_like_the_model(labels, monkeypatch):
    asked = []

    def ngrams(*given, order, reverse_complement, **_):
        asked.append((order, reverse_complement))
        return np.zeros((2 * 20, 2))

    monkeypatch.setattr(label_regulatory_sequence, "class_ngrams", ngrams)
    for model in (NgramModel(4), NgramModel(12, reverse_complement=True)):
        assert label_regulatory_sequence._class_ngrams(model, labels)[2].shape == (20, 2)
    assert asked == [(4, False), (6, True)]


def test_a_model_named_as_the_floors_is_refused(labels, models, tmp_path):
    with pytest.raises(InputError, match="'floors' is what the floors are called; rename the model's folder"):
        evaluate_models({"words": labels}, {"floors": models["lstm"]}, PLAN, tmp_path)
