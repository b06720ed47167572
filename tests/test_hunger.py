"""A sweep trains on nested subsets, judges on the same windows, and does nothing twice."""

import io
import json

import numpy as np
import pytest

from dnastudy.chapters.measure_data_hunger import English, Genes, read_curves, sweep
from dnastudy.files import InputError
from dnastudy.genes import windows
from dnastudy.models import NgramModel
from dnastudy.tasks.text import SymbolNgram, fetch_text, read_text, spread

NGRAM = {"kind": "ngram", "order": 4}
LSTM = {"kind": "lstm", "layers": 1, "width": 16}
GPT = {"kind": "gpt", "layers": 1, "width": 16, "heads": 2, "context": 256}  # the longest passage
TRAINING = {"steps": 6, "batch": 4, "window": 32, "validate_every": 2, "validation_windows": 4, "patience": 4}


@pytest.fixture(scope="module")
def genes(corpus):
    return Genes(corpus, windows(corpus, "test", length=256, count=12))


@pytest.fixture(scope="module")
def english():
    return English(read_text(fetch_text("sample"), "characters", passage=256), 10)


@pytest.fixture(scope="module")
def spoken():
    return English(read_text(fetch_text("sample"), "words", words=300, passage=256), 10)


def test_curves_are_read_and_mistyped_ones_refused():
    assert read_curves(["bases/ngram", "words/gpt"]) == [("bases", "ngram"), ("words", "gpt")]
    with pytest.raises(InputError, match="curve 'base/lstm': unit 'base'; did you mean 'bases'"):
        read_curves(["base/lstm"])
    with pytest.raises(InputError, match="curve 'bases': model ''; expected one of ngram, lstm, gru, gpt"):
        read_curves(["bases"])


def test_windows_have_their_bases_groups_and_uniform_cost(genes, english, spoken):
    assert genes.amounts.sum() == 12 * 256 and len(genes.groups) == len(genes.amounts) == 12
    assert genes.total == np.diff(genes.corpus.spans("train")).sum()
    assert english.uniform == pytest.approx(np.log2(36))
    assert spoken.uniform < english.uniform  # a word is one of 301, and has several characters
    assert list(english.groups) == list(spoken.groups) and list(english.amounts) == list(spoken.amounts)


def test_all_of_the_genes_are_the_n_gram_of_all_of_them(genes, tmp_path):
    runs = sweep(genes, NGRAM, [0], [0, 1], out=tmp_path)
    corpus = genes.corpus
    fitted, held_out = ((corpus.all_codes, corpus.spans(split)) for split in ("train", "validation"))
    model = NgramModel(4).fit(fitted, validation=held_out)
    expected = -model.log_likelihood(corpus.cut(genes.windows)) / np.log(2)
    for _, part in runs.groupby("seed"):
        assert part["bits"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert set(runs["size"]) == {genes.total} and not runs["limited"].any()
    assert len(list(tmp_path.iterdir())) == 1  # counted once, whatever the seed


def test_more_data_cost_less(genes, english, spoken, tmp_path):
    for material in (genes, english, spoken):
        runs = sweep(material, NGRAM, [1000, 50_000, 10**9], [0, 1], out=tmp_path)
        assert sorted(set(runs["size"])) == [1000, 50_000, material.total]
        costs = runs.groupby("size")["bits"].sum() / runs.groupby("size")["amount"].sum()
        assert costs.is_monotonic_decreasing
        assert costs.iloc[-1] < material.uniform


def test_an_unknown_word_is_paid_for(spoken, tmp_path):
    text = spoken.text
    span = text.spans["test"][:1]  # the first passage judged is the first there is
    model = SymbolNgram(4, 301).fit(text.symbols, text.subset(0, 0), spread(text.spans["validation"], 10))
    spelling = text.spelling[slice(*span[0])].sum()
    assert spelling > 0
    expected = model.bits(text.symbols, span).sum() + spelling
    assert sweep(spoken, NGRAM, [0], [0], out=tmp_path)["bits"][0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "material, model", [("genes", LSTM), ("english", LSTM), ("spoken", LSTM), ("genes", GPT), ("spoken", GPT)]
)
def test_networks_learn_from_any_of_them(material, model, tmp_path, request):
    material = request.getfixturevalue(material)
    training = TRAINING | {"window": model.get("context", 32)}
    runs = sweep(material, model, [300, 10**6], [0, 1], out=tmp_path, training=training, device="cpu")
    assert sorted(set(runs["size"])) == [300]  # what 6 x 4 windows can't cover isn't tried
    assert runs["limited"].all()  # six steps aren't enough to stop getting better
    assert set(runs.groupby("seed")["seen"].first() > 300) == {True}
    first, second = (part["bits"].to_numpy() for _, part in runs.groupby("seed"))
    assert first != pytest.approx(second)
    assert 0.5 * material.uniform < first.sum() / material.amounts.sum() < 1.5 * material.uniform
    assert not list(tmp_path.glob("*/checkpoint"))


def test_a_network_that_stops_getting_better_is_not_limited(english, tmp_path):
    training = TRAINING | {"steps": 60, "learning_rate": 0.5, "warmup": 0, "schedule": "constant"}
    log = io.StringIO()
    runs = sweep(english, LSTM, [200], [0], out=tmp_path, training=training, device="cpu", progress=log)
    assert not runs["limited"].any() and runs["seen"].iloc[0] < 60 * 4 * 32
    assert " bits/character  " in log.getvalue() and " characters/s" in log.getvalue()


def test_a_finished_run_is_not_repeated_and_a_changed_one_is(english, tmp_path, monkeypatch):
    first = sweep(english, NGRAM, [500, 2000], [0], out=tmp_path)
    counted = []
    real = English.count
    monkeypatch.setattr(English, "count", lambda *a: counted.append(a[1:]) or real(*a))
    again = sweep(english, NGRAM, [500, 2000], [0], out=tmp_path)
    assert counted == [] and again.equals(first)
    (tmp_path / "characters-ngram-500-0" / "outcome.json").write_text("{")  # broken off while it was written
    assert sweep(english, NGRAM, [500, 2000], [0], out=tmp_path).equals(first)
    assert counted == [(4, 500, 0)]
    sweep(english, NGRAM | {"order": 3}, [500], [0], out=tmp_path)
    sweep(english, NGRAM | {"order": 3}, [500], [0], out=tmp_path, code="changed")
    assert counted[1:] == [(3, 500, 0)] * 2
    outcome = json.loads((tmp_path / "characters-ngram-500-0" / "outcome.json").read_text())
    assert outcome["identity"]["code"] == "changed"


def test_an_interrupted_sweep_goes_on(genes, tmp_path, monkeypatch):
    from dnastudy.models import training

    whole = sweep(genes, LSTM, [300, 500], [0], out=tmp_path / "whole", training=TRAINING, device="cpu")
    real = training.train

    def broken(model, source, *arguments, **options):
        if source.config.train_bases == 500:
            raise KeyboardInterrupt
        return real(model, source, *arguments, **options)

    monkeypatch.setattr("dnastudy.chapters.measure_data_hunger.train", broken)
    with pytest.raises(KeyboardInterrupt):
        sweep(genes, LSTM, [300, 500], [0], out=tmp_path / "cut", training=TRAINING, device="cpu")
    assert [path.parent.name for path in (tmp_path / "cut").glob("*/outcome.json")] == ["bases-lstm-300-0"]
    monkeypatch.setattr("dnastudy.chapters.measure_data_hunger.train", real)
    assert sweep(genes, LSTM, [300, 500], [0], out=tmp_path / "cut", training=TRAINING, device="cpu").equals(whole)


def test_a_model_whose_evaluation_was_interrupted_is_not_trained_again(genes, tmp_path, monkeypatch):
    whole = sweep(genes, LSTM, [300], [0], out=tmp_path / "whole", training=TRAINING, device="cpu")
    real = Genes.evaluate

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Genes, "evaluate", broken)
    with pytest.raises(KeyboardInterrupt):
        sweep(genes, LSTM, [300], [0], out=tmp_path / "cut", training=TRAINING, device="cpu")
    monkeypatch.setattr(Genes, "evaluate", real)
    assert len(list((tmp_path / "cut").glob("*/checkpoint"))) == 1
    assert sweep(genes, LSTM, [300], [0], out=tmp_path / "cut", training=TRAINING, device="cpu").equals(whole)


def test_a_network_of_another_torch_or_device_is_trained_again(genes, tmp_path, monkeypatch):
    from dnastudy.models import train

    trained = []
    monkeypatch.setattr(
        "dnastudy.chapters.measure_data_hunger.train", lambda *a, **k: trained.append(a) or train(*a, **k)
    )
    for version in ("2.0", "2.0", "2.1"):
        monkeypatch.setattr("torch.__version__", version)
        sweep(genes, LSTM, [300], [0], out=tmp_path, training=TRAINING, device="cpu")
    assert len(trained) == 2


def test_words_are_counted_where_steps_are(spoken, tmp_path):
    """Six steps see 768 words, which have more characters."""
    runs = sweep(spoken, LSTM, [1500], [0], out=tmp_path, training=TRAINING, device="cpu")
    assert set(runs["size"]) == {1500}


def test_nothing_to_sweep_is_refused(genes, tmp_path):
    with pytest.raises(InputError, match="ngram of bases: 1 sizes and 0 seeds; give one or more of each"):
        sweep(genes, NGRAM, [1000], [], out=tmp_path)
    with pytest.raises(InputError, match="ngram of bases: size -5; expected 1 or more, or 0 for all"):
        sweep(genes, NGRAM, [1000, -5], [0], out=tmp_path)
    with pytest.raises(InputError, match=r"lstm of bases: 0 sizes and 1 seeds; .*steps x batch x window"):
        sweep(genes, LSTM, [10_000], [0], out=tmp_path, training=TRAINING)


def test_a_transformer_is_not_judged_beyond_the_windows_it_learnt_from(genes, tmp_path):
    with pytest.raises(InputError, match="judged on 256 positions at once, and trained on windows of 32; make these"):
        sweep(genes, GPT, [300], [0], out=tmp_path, training=TRAINING)
