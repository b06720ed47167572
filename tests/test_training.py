"""Training: what is learnt from, exact resumption after a kill or Ctrl-C, and what is refused."""

import io
import json
import math
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from periodic_corpus import periodic_corpus

from dnastudy.files import InputError, read_json, sha256
from dnastudy.genes import Corpus
from dnastudy.models import build, load
from dnastudy.models.batches import CorpusSource, MaskedSource
from dnastudy.models.checkpoint import locked
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.training import (
    bits_per_symbol,
    parameter_groups,
    progress_line,
    train,
    train_from_config,
    use_bf16,
)
from dnastudy.tokens import KmerTokenizer
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE

LSTM = {"kind": "lstm", "layers": 2, "width": 16, "embedding": 8, "dropout": 0.1}
BERT = {"kind": "bert", "layers": 1, "width": 32, "heads": 2, "context": 32, "dropout": 0.1}
SMALL = {
    "steps": 12,
    "batch": 4,
    "window": 32,
    "warmup": 2,
    "validate_every": 5,
    "validation_windows": 4,
    "checkpoint_every": 2,
    "precision": "fp32",
}


@pytest.fixture
def corpus(tmp_path):
    return periodic_corpus(tmp_path / "corpus").folder


def curve(history):
    return [{key: value for key, value in row.items() if not key.endswith("_per_second")} for row in history]


def fit(model, corpus, out, progress=False, **settings):
    """Train ``model`` with the small settings, changed as given."""
    config, corpus = TrainingConfig.from_dict(SMALL | settings), Corpus.load(corpus)
    source = CorpusSource(corpus, config) if model.causal else MaskedSource(corpus, model.tokenizer, config)
    return train(model, source, out, config, progress=progress)


INTERRUPTED = """
import json, os, sys
from dnastudy.models import train_from_config

config, corpus, out, step, number = map(json.loads, sys.argv[1:])

class Log:
    def write(self, text):
        if text.startswith(f"step {step}/"):
            os.kill(os.getpid(), number)

    def flush(self):
        pass

train_from_config(config, corpus, out, "cpu", progress=Log())
"""


def interrupt(config, corpus, out, step, number):
    """Train in another process, which is sent a signal once it reports a step."""
    arguments = [json.dumps(value) for value in (config, str(corpus), str(out), step, number)]
    return subprocess.run([sys.executable, "-c", INTERRUPTED, *arguments], capture_output=True, text=True)


def test_a_period_is_learnt_and_the_model_saved(corpus, tmp_path):
    config = {"model": LSTM | {"dropout": 0.0}, "training": SMALL | {"steps": 80, "learning_rate": 0.02}}
    model = train_from_config(config, corpus, tmp_path / "out", "cpu", progress=False)
    history = read_json(tmp_path / "out" / "history.json")
    assert history[0]["validation_bits_per_base"] > 1.5
    best = min(row["validation_bits_per_base"] for row in history)
    assert best < 0.5
    assert not (tmp_path / "out" / "checkpoint").exists()
    text = "ACGTTCA" * 10
    assert model.log_likelihood([text])[0] / -len(text) / math.log(2) < 0.7
    assert load(tmp_path / "out").log_likelihood([text]).tolist() == model.log_likelihood([text]).tolist()
    assert not model.training


@pytest.mark.parametrize("kind", ["gru", "gpt"])
def test_other_kinds_train_and_repeat(kind, corpus, tmp_path):
    drawn = torch.get_rng_state()
    size = {"heads": 2, "context": 32} if kind == "gpt" else {"embedding": 8}
    config = {"model": {"kind": kind, "layers": 1, "width": 16, "dropout": 0.1} | size, "training": SMALL}
    first, second = (train_from_config(config, corpus, tmp_path / name, "cpu", progress=False) for name in ("a", "b"))
    assert first.log_likelihood(["ACGTTCA"]).tolist() == second.log_likelihood(["ACGTTCA"]).tolist()
    assert torch.equal(torch.get_rng_state(), drawn)  # the caller's own random numbers are left alone


def test_bert_learns_and_says_what_it_costs_in_a_name_of_its_own(corpus, tmp_path):
    KmerTokenizer(2).save(tmp_path / "pairs.json")
    config = {"model": BERT | {"tokenizer": str(tmp_path / "pairs.json"), "width": 64, "dropout": 0.0}}
    longer = {
        "steps": 400,
        "validate_every": 100,
        "schedule": "constant",
        "learning_rate": 0.003,
        "validation_windows": 40,
    }
    config["training"] = SMALL | longer | {"batch": 32, "window": 12, "masked": 0.3}
    model = train_from_config(config, corpus, tmp_path / "out", "cpu", progress=False)
    history = read_json(tmp_path / "out" / "history.json")
    assert history[0].keys() == {
        "step", "tokens", "train_bits_per_token", "validation_bits_per_token", "learning_rate", "tokens_per_second",
        "validation_masked_bits_per_base",
    }  # fmt: skip
    best = min(row["validation_masked_bits_per_base"] for row in history)
    assert model.validation_masked_bits_per_base == best < 0.7 < 1.2 < history[0]["validation_masked_bits_per_base"]
    assert model.validation_bits_per_base is None
    assert 400 * 32 * 8 < history[-1]["tokens"] <= 400 * 32 * 10
    again = load(tmp_path / "out", device="cpu")
    assert (again.config, again.trained_on, again.precision) == (model.config, model.trained_on, "fp32")
    hidden = [2, *again.tokenizer.encode("ACGTTCA" * 2 + "ACGTTC").tolist(), 3]
    hidden[5], lost = 4, hidden[5]
    assert again(torch.tensor([hidden]))[0][0, 5].argmax() == lost
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_bert_in_bf16(corpus, tmp_path):
    config = {"model": BERT, "training": SMALL | {"precision": "bf16", "accumulate": 2}}
    model = train_from_config(config, corpus, tmp_path / "out", "cpu", progress=False)
    assert model.precision == "bf16" and 0 < model.validation_masked_bits_per_base < 4


def test_ngram_through_the_same_entry(corpus, tmp_path):
    model = train_from_config({"model": {"kind": "ngram", "order": 4}}, corpus, tmp_path / "out")
    assert model.perplexity(["ACGTTCA" * 9]) < 1.1
    assert load(tmp_path / "out").config == model.config == build({"kind": "ngram", "order": 4}).config
    assert model.validation_bits_per_base == model.history[-1]["validation_bits_per_base"]


def test_ngram_is_scored_on_the_windows_that_neural_models_are_validated_on(corpus, tmp_path):
    settings = {"validation_windows": 30, "window": 100}
    config = {"model": {"kind": "ngram", "order": 3}, "training": settings}
    model = train_from_config(config, corpus, tmp_path / "out")
    _, targets = CorpusSource(Corpus.load(corpus), TrainingConfig.from_dict(settings)).validation()
    windows = ["".join("ACGT"[id - 5] for id in row if id >= 5) for row in targets.tolist()]
    nats = sum(model.log_likelihood(windows))
    assert model.validation_bits_per_base == pytest.approx(-nats / math.log(2) / sum(map(len, windows)))
    assert model.validation_bits_per_base != model.history[-1]["validation_bits_per_base"]


def test_validation_windows_depend_on_neither_batch_nor_seed(corpus):
    one, other = TrainingConfig(batch=4, seed=1), TrainingConfig(batch=64, seed=2)
    sets = [CorpusSource(Corpus.load(corpus), config).validation() for config in (one, other)]
    assert all(map(torch.equal, *sets))


@pytest.mark.parametrize("kind", ["ngram", "lstm"])
def test_model_says_what_it_was_trained_on(kind, corpus, tmp_path):
    config = {"model": LSTM, "training": SMALL} if kind == "lstm" else {"model": {"kind": "ngram", "order": 2}}
    trained = train_from_config(config, corpus, tmp_path / "out", "cpu", progress=False)
    for model in (trained, load(tmp_path / "out")):
        assert model.trained_on == {name: sha256(corpus / name) for name in ("codes.npy", "offsets.npy", "split.npy")}
        assert model.precision == ("fp32" if kind == "lstm" else None)
    rows = read_json(tmp_path / "out" / "history.json")
    assert trained.validation_bits_per_base == min(row["validation_bits_per_base"] for row in rows)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_training_stops_when_it_gets_no_better(keep, corpus, tmp_path):
    torch.manual_seed(0)
    model = build(LSTM, device="cpu")
    # A rate this high undoes what was learnt.
    high = {"steps": 60, "learning_rate": 0.5, "schedule": "constant", "clip": 0.0, "validate_every": 1}
    history = fit(model, corpus, tmp_path, patience=3, keep=keep, **high)
    looks = [row["validation_bits_per_base"] for row in history]
    assert len(looks) < 60
    assert looks.index(min(looks)) == len(looks) - 4
    held_out = CorpusSource(Corpus.load(corpus), TrainingConfig.from_dict(SMALL)).validation()
    kept = min(looks) if keep == "best" else looks[-1]
    assert bits_per_symbol(model, *held_out, 4) == pytest.approx(kept, abs=1e-6)
    assert fit(build(LSTM), corpus, tmp_path, patience=3, keep=keep, **high) == history  # it is finished


def test_model_folder_says_what_the_kept_weights_cost(corpus, tmp_path):
    config = {"model": LSTM, "training": SMALL | {"learning_rate": 0.5, "keep": "last", "validate_every": 1}}
    model = train_from_config(config, corpus, tmp_path / "out", "cpu", progress=False)
    assert (
        model.validation_bits_per_base == read_json(tmp_path / "out" / "history.json")[-1]["validation_bits_per_base"]
    )


@pytest.mark.parametrize("pieces", [2, 3, 4])
def test_a_step_in_pieces_is_the_same_step(pieces, corpus, tmp_path):
    models = []
    for name, accumulate in (("whole", 1), ("pieces", pieces)):
        torch.manual_seed(0)
        models.append(build(LSTM | {"dropout": 0.0}, device="cpu"))
        fit(models[-1], corpus, tmp_path / name, accumulate=accumulate, steps=3)
    for whole, in_pieces in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(whole, in_pieces, atol=1e-6)


def test_whole_genes_by_the_epoch(corpus, tmp_path):
    lengths = [300, 250, 20, 400, 200]
    settings = {"sampling": "genes", "window": 320, "epochs": 3, "validate_every": 0, "end": False}
    history = fit(build(LSTM), corpus, tmp_path, **settings)
    epoch = sum(min(length, 320) for length in lengths) - 1  # one base is unknown
    assert [row["bases"] for row in history] == [epoch, 2 * epoch, 3 * epoch]
    assert history[0]["step"] * 3 == history[2]["step"]


def test_the_opposite_strand_is_learnt_too(corpus, tmp_path):
    costs = {}
    for both in (False, True):
        torch.manual_seed(0)
        model = build(LSTM | {"dropout": 0.0}, device="cpu")
        fit(model, corpus, tmp_path / str(both), steps=80, learning_rate=0.02, reverse_complement=both)
        costs[both] = -model.log_likelihood(["TGAACGT" * 10])[0] / 70 / math.log(2)
    assert costs[True] < 1 < costs[False]


def test_subset_of_the_training_genes(corpus, tmp_path):
    everything, some = (
        train_from_config(
            {"model": {"kind": "ngram", "order": 2}, "training": {"train_bases": bases}}, corpus, tmp_path / str(bases)
        )
        for bases in (0, 100)
    )
    assert everything.end_probability == pytest.approx(5 / (1169 + 5))
    assert some.end_probability == pytest.approx(2 / (100 + 2))  # one of 20 bases, and 80 of another


def test_processes_that_see_different_checkpoints_stop(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("dnastudy.models.training.broadcast", lambda *_: 8.0)
    with pytest.raises(
        InputError, match=r"process 0 would go on from step 0, the first one from step 8; give a folder"
    ):
        fit(build(LSTM), corpus, tmp_path)


def test_a_machine_that_cannot_compile_says_so(corpus, tmp_path, monkeypatch):
    def fail(model, **_):
        def forward(*_):
            raise torch._dynamo.exc.BackendCompilerFailed(lambda: None, RuntimeError("no C++ compiler"), None)

        return forward

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(
        InputError, match=r"compile = True, but torch can't compile here \(.*; install a C\+\+ compiler"
    ):
        fit(build(LSTM), corpus, tmp_path, compile=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "gpt", "bert"])
def test_compiled_model_learns_the_same(kind, corpus, tmp_path):
    size = {"embedding": 8} if kind == "lstm" else {"heads": 2, "context": 32}
    curves = []
    for name, compile in (("plain", False), ("compiled", True)):
        torch.manual_seed(0)
        model = build({"kind": kind, "layers": 1, "width": 16} | size, device="cpu")
        curves.append([row["validation_bits_per_base"] for row in fit(model, corpus, tmp_path / name, compile=compile)])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({}, r"batch 4 in 1 piece\(s\) of window 32; set accumulate to 2 .*, or batch to 2"),
        ({"accumulate": 4}, "in 4 piece.* of window 32; shorten window, or train a smaller model"),
    ],
)
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), "DefaultCPUAllocator: can't allocate memory"]
)
def test_out_of_memory_says_what_to_try(error, settings, advice, corpus, tmp_path):
    def run_out(*_):
        raise error if isinstance(error, Exception) else RuntimeError(error)

    model = build(LSTM)
    model.register_forward_hook(run_out)
    with pytest.raises(InputError, match=advice):
        fit(model, corpus, tmp_path, **settings)


def test_other_errors_are_not_dressed_up(corpus, tmp_path):
    def fail(*_):
        raise RuntimeError("something else")

    model = build(LSTM)
    model.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match=r"^something else$"):
        fit(model, corpus, tmp_path)


class Text:
    """The least that a source is: letters in a circle."""

    def draw(self, step):
        ids = (torch.arange(40).view(4, 10) + step) % 11
        return ids, (ids + 1) % 11

    def validation(self):
        return self.draw(0)

    def identity(self):
        return {"letters": 11}

    def bases(self, inputs, targets):
        return targets.numel()


def test_a_source_of_other_text(tmp_path):
    torch.manual_seed(0)
    model = build({"kind": "lstm", "layers": 1, "width": 16, "embedding": 8, "vocabulary": 11}, device="cpu")
    config = TrainingConfig.from_dict(SMALL | {"steps": 60, "learning_rate": 0.05})
    history = train(model, Text(), tmp_path, config, progress=False)
    assert history[-1]["bases"] == 60 * 40
    assert history[0]["validation_bits_per_base"] == pytest.approx(math.log2(11), abs=1.5)
    assert history[-1]["validation_bits_per_base"] < 0.2


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (LSTM, {}),
        (LSTM, {"sampling": "genes", "accumulate": 2, "reverse_complement": True, "window": 320, "patience": 20}),
        (BERT, {"reverse_complement": True, "masked": 0.5}),
    ],
    ids=["windows", "genes", "masked"],
)
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(model, settings, corpus, tmp_path):
    config = {"model": model, "training": SMALL | {"steps": 200, "validate_every": 35} | settings}
    whole = train_from_config(config, corpus, tmp_path / "whole", "cpu", progress=False)
    # Between two checkpoints: step 35 has to be done again.
    process = interrupt(config, corpus, tmp_path / "killed", 35, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "config.json").exists()
    resumed = train_from_config(config, corpus, tmp_path / "killed", "cpu", progress=False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    histories = [curve(read_json(tmp_path / name / "history.json")) for name in ("whole", "killed")]
    assert histories[0] == histories[1]


def test_ctrl_c_writes_a_checkpoint_and_the_same_call_goes_on(corpus, tmp_path):
    config = {"model": LSTM, "training": SMALL | {"steps": 200, "checkpoint_every": 199, "validate_every": 5}}
    whole = train_from_config(config, corpus, tmp_path / "whole", "cpu", progress=False)
    process = interrupt(config, corpus, tmp_path / "stopped", 5, signal.SIGINT)
    assert "KeyboardInterrupt: stopped after step 6;" in process.stderr
    assert (tmp_path / "stopped" / "checkpoint" / "state.safetensors").exists()
    resumed = train_from_config(config, corpus, tmp_path / "stopped", "cpu", progress=False)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


class Breaking(io.StringIO):
    """A log that breaks off training when it reaches a step."""

    def __init__(self, step):
        super().__init__()
        self.line = f"step {step}/"

    def write(self, text):
        if text.startswith(self.line):
            raise BrokenPipeError
        return super().write(text)


def test_a_run_that_goes_on_says_from_where(corpus, tmp_path):
    with pytest.raises(BrokenPipeError):
        fit(build(LSTM), corpus, tmp_path, progress=Breaking(10))
    log = io.StringIO()
    fit(build(LSTM), corpus, tmp_path, progress=log)
    lines = log.getvalue().splitlines()
    assert lines[0] == "going on from step 10 of 12"
    assert [line.split("  ")[0] for line in lines[1:]] == ["step 12/12"]


@pytest.mark.parametrize("model", [LSTM, {"kind": "ngram", "order": 2}], ids=["lstm", "ngram"])
def test_a_finished_model_is_replaced_only_when_asked_to(model, corpus, tmp_path):
    config, out = {"model": model, "training": SMALL}, tmp_path / "out"
    train_from_config(config, corpus, out, "cpu", progress=False)
    before = {path.name: sha256(path) for path in out.iterdir()}
    kind = model["kind"]
    with pytest.raises(InputError, match=f"out: a finished {kind} model stands there; give another folder, or over"):
        train_from_config(config, tmp_path / "nowhere", out, "cpu")  # before any work, such as reading a corpus
    assert {path.name: sha256(path) for path in out.iterdir()} == before
    again = config | {"training": SMALL | {"seed": 1, "train_bases": 100}}
    train_from_config(again, corpus, out, "cpu", overwrite=True, progress=False)
    assert sha256(out / "config.json") != before["config.json"]
    assert before.keys() == {path.name for path in out.iterdir()}


def test_an_overwriting_run_that_was_interrupted_goes_on(corpus, tmp_path):
    config = {"model": LSTM, "training": SMALL}
    whole = train_from_config(config, corpus, tmp_path / "whole", "cpu", progress=False)
    train_from_config({"model": {"kind": "ngram", "order": 2}}, corpus, tmp_path / "out")
    with pytest.raises(BrokenPipeError):
        train_from_config(config, corpus, tmp_path / "out", "cpu", overwrite=True, progress=Breaking(10))
    assert load(tmp_path / "out").kind == "ngram"
    with pytest.raises(InputError, match="a finished ngram model stands there"):
        train_from_config(config, corpus, tmp_path / "out", "cpu")
    log = io.StringIO()
    resumed = train_from_config(config, corpus, tmp_path / "out", "cpu", overwrite=True, progress=log)
    assert log.getvalue().startswith("going on from step 10 of 12\n")
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    assert load(tmp_path / "out").kind == "lstm"


def test_no_model_is_written_into_a_corpus(corpus):
    with pytest.raises(InputError, match="a corpus stands there"):
        train_from_config({"model": LSTM, "training": SMALL}, corpus, corpus, "cpu", overwrite=True)


def test_ngram_is_counted_by_one_process(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("dnastudy.models.training.world_size", lambda: 2)
    with pytest.raises(InputError, match="ngram: counted by one process; give the same command without torchrun"):
        train_from_config({"model": {"kind": "ngram", "order": 2}}, corpus, tmp_path / "out")


def test_history_of_a_model_to_which_something_is_impossible(tmp_path):
    # No training gene begins with a C.
    corpus = periodic_corpus(tmp_path / "corpus", split=[1, 0, 0, 0, 0, 0, 0, 2], first_base=1).folder
    model = train_from_config({"model": {"kind": "ngram", "order": 2, "smoothing": "mle"}}, corpus, tmp_path / "out")
    assert model.validation_bits_per_base == math.inf
    assert read_json(tmp_path / "out" / "history.json") == [
        {"order": 2, "weight": 0.0, "validation_bits_per_base": None}
    ]


def test_checkpoint_of_another_configuration_is_refused(corpus, tmp_path):
    history = fit(build(LSTM), corpus, tmp_path)
    with pytest.raises(InputError, match=r"training.learning_rate: 0.002 there, 0.1 here; training.steps: 12"):
        fit(build(LSTM), corpus, tmp_path, learning_rate=0.1, steps=14)
    # What is learnt doesn't depend on these.
    assert fit(build(LSTM), corpus, tmp_path, accumulate=2, checkpoint_every=5) == history
    periodic_corpus(corpus, first_base=1)
    with pytest.raises(InputError, match=r"data.codes.npy"):
        fit(build(LSTM), corpus, tmp_path)


def test_finished_run_is_not_repeated(corpus, tmp_path):
    first, second = build(LSTM), build(LSTM)
    history = fit(first, corpus, tmp_path)
    assert fit(second, corpus, tmp_path) == history
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(corpus, tmp_path):
    model = build(LSTM, device="cpu")
    step = 0

    def break_down(module, inputs, output):
        nonlocal step
        step += module.training
        return (output[0] * math.nan, output[1]) if step == 8 and module.training else output

    model.register_forward_hook(break_down)
    with pytest.raises(InputError, match=r"step 8: loss nan, .* at learning rate 0.00\d+; the last good"):
        fit(model, corpus, tmp_path)
    history = fit(build(LSTM), corpus, tmp_path)
    assert [row["step"] for row in history] == [5, 10, 12]


def test_validation_that_is_no_number_stops_too(corpus, tmp_path):
    model = build(LSTM, device="cpu")
    model.register_forward_hook(lambda model, _, output: output if model.training else (output[0] * math.nan, None))
    with pytest.raises(InputError, match=r"step 5: validation nan bits/base at learning rate 0.00\d+; the last good"):
        fit(model, corpus, tmp_path)


def test_line_of_a_look():
    row = {"step": 10, "bases": 1000, "bases_per_second": 2000.0}
    row |= {"train_bits_per_base": 1.95, "validation_bits_per_base": 1.9}
    line = "step 10/50  train 1.9500  validation 1.9000 bits/word  2,000 words/s  ETA 2 s"
    assert progress_line(row, 50, "word") == line


def test_log_lines(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    fit(build(LSTM), corpus, tmp_path, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 5/12", "step 10/12", "step 12/12"]
    assert "bits/base" in lines[0] and "bases/s" in lines[0] and "ETA" in lines[0]
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    fit(build(LSTM), corpus, tmp_path / "notebook", progress=True)
    assert capsys.readouterr().err == ""


def test_bad_configuration(corpus, tmp_path):
    with pytest.raises(InputError, match="'modle' is no part of it; did you mean 'model'"):
        train_from_config({"modle": {}}, corpus, tmp_path)
    with pytest.raises(InputError, match="'training' is no mapping"):
        train_from_config({"model": LSTM, "training": ["steps"]}, corpus, tmp_path)
    with pytest.raises(InputError, match="no 'model' in it"):
        train_from_config({"training": {}}, corpus, tmp_path)


def test_window_longer_than_the_context(corpus, tmp_path):
    model = build({"kind": "gpt", "layers": 1, "width": 8, "heads": 2, "context": 16})
    with pytest.raises(InputError, match="window 32 is longer than the model's context of 16"):
        fit(model, corpus, tmp_path)


def test_bad_corpus(corpus, tmp_path):
    config = {"model": LSTM, "training": SMALL}
    periodic_corpus(corpus, split=[0] * 8)
    with pytest.raises(InputError, match="no validation genes"):
        train_from_config(config, corpus, tmp_path / "out", progress=False)
    np.save(corpus / "split.npy", np.zeros(7, dtype=np.uint8))
    with pytest.raises(InputError, match=r"split\.npy: changed since the corpus was made"):
        train_from_config(config, corpus, tmp_path / "out", progress=False)
    (corpus / "split.npy").unlink()
    with pytest.raises(InputError, match=r"split\.npy: missing"):
        train_from_config(config, corpus, tmp_path / "out", progress=False)


def test_weights_that_learn_faster_have_groups_of_their_own():
    one, other, bias = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (3, 2), (2,)))
    groups = parameter_groups([bias, other, one], 0.1, lambda weight: 5.0 if weight is other else 1.0)
    assert [(group["times"], group["weight_decay"]) for group in groups] == [(1.0, 0.1), (1.0, 0.0), (5.0, 0.1)]
    assert [group["params"][0] is weight for group, weight in zip(groups, (one, bias, other), strict=True)] == 3 * [
        True
    ]


def test_precision_follows_the_machine(monkeypatch):
    cpu = torch.device("cpu")
    assert use_bf16("bf16", cpu)
    assert not use_bf16("fp32", cpu)
    for name, expected in (("avx512_bf16", True), ("amx_bf16", True), ("avx2", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert use_bf16("auto", cpu) is expected


@pytest.mark.parametrize(
    ("model", "use"),
    [(LSTM, "generate(1, 5)"), (BERT, "tokenizer.decode([5, 6])")],
    ids=["lstm", "bert"],
)
def test_training_needs_torch_numpy_and_safetensors_alone(model, use, corpus, tmp_path):
    absent = ["numba", "pandas", "pyarrow", "pyfaidx", "scipy", "sklearn", "tokenizers", "tqdm", "yaml"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}));"
        "from dnastudy.models import load, train_from_config;"
        f"config = {{'model': {model}, 'training': {SMALL}}};"
        f"train_from_config(config, {str(corpus)!r}, {str(tmp_path / 'out')!r});"
        f"print(load({str(tmp_path / 'out')!r}).{use})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.strip()) == (len("['ACGTA']") if model is LSTM else len("AC"))


def test_two_n_grams_into_one_folder_at_once_are_refused(corpus, tmp_path):
    with locked(tmp_path / "model" / "checkpoint"), pytest.raises(InputError, match="another run is training there"):
        train_from_config({"model": {"kind": "ngram", "order": 2}}, corpus, tmp_path / "model")


def test_whole_genes_are_validated_once_each(corpus):
    config = TrainingConfig(sampling="genes", window=1000, validation_windows=3)
    corpus = Corpus.load(corpus)
    inputs, targets = CorpusSource(corpus, config).validation()
    spans = corpus.spans("validation")
    lengths = np.minimum(spans[:, 1] - spans[:, 0], 1000)
    assert (targets != IGNORED).sum(1).tolist() == sorted(lengths.tolist(), reverse=True)
    assert (inputs[:, 0] == CLS).all() and int(targets.max()) < FIRST_BASE + 4
