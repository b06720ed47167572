"""Training: what is learnt from, exact resumption after a kill or Ctrl-C, and what is refused."""

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
from dnastudy.models.training import (
    TrainingConfig,
    bits_per_base,
    learning_rate,
    train,
    train_from_config,
    use_bf16,
    validation_set,
)

LSTM = {"kind": "lstm", "layers": 2, "width": 16, "embedding": 8, "dropout": 0.1}
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
    return [{key: value for key, value in row.items() if key != "bases_per_second"} for row in history]


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


def test_ngram_through_the_same_entry(corpus, tmp_path):
    model = train_from_config({"model": {"kind": "ngram", "order": 4}}, corpus, tmp_path / "out")
    assert model.perplexity(["ACGTTCA" * 9]) < 1.1
    assert load(tmp_path / "out").config == {"kind": "ngram", "order": 4, "smoothing": "interpolated"}
    assert model.validation_bits_per_base == model.history[-1]["validation_bits_per_base"]


def test_ngram_is_scored_on_the_windows_that_neural_models_are_validated_on(corpus, tmp_path):
    settings = {"validation_windows": 30, "window": 100}
    config = {"model": {"kind": "ngram", "order": 3}, "training": settings}
    model = train_from_config(config, corpus, tmp_path / "out")
    _, targets = validation_set(Corpus.load(corpus), TrainingConfig.from_dict(settings))
    windows = ["".join("ACGT"[id - 5] for id in row if id >= 5) for row in targets.tolist()]
    nats = sum(model.log_likelihood(windows))
    assert model.validation_bits_per_base == pytest.approx(-nats / math.log(2) / sum(map(len, windows)))
    assert model.validation_bits_per_base != model.history[-1]["validation_bits_per_base"]


def test_validation_windows_depend_on_neither_batch_nor_seed(corpus):
    one, other = TrainingConfig(batch=4, seed=1), TrainingConfig(batch=64, seed=2)
    sets = [validation_set(Corpus.load(corpus), config) for config in (one, other)]
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


def test_best_weights_are_restored(corpus, tmp_path):
    torch.manual_seed(0)
    model = build(LSTM, device="cpu")
    # A rate this high undoes what was learnt; the best look must be what the model ends with.
    config = TrainingConfig.from_dict(
        SMALL | {"steps": 40, "learning_rate": 0.5, "final": 1.0, "clip": 1e9, "validate_every": 1}
    )
    history = train(model, corpus, tmp_path, config, device="cpu", progress=False)
    looks = [row["validation_bits_per_base"] for row in history]
    assert min(looks) < looks[-1]
    held_out = validation_set(Corpus.load(corpus), config)
    assert bits_per_base(model, *held_out, 4) == pytest.approx(min(looks), abs=1e-6)


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(corpus, tmp_path):
    config = {"model": LSTM, "training": SMALL | {"steps": 200, "validate_every": 35}}
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


def test_checkpoint_of_another_configuration_is_refused(corpus, tmp_path):
    train(build(LSTM), corpus, tmp_path, TrainingConfig.from_dict(SMALL), progress=False)
    other = TrainingConfig.from_dict(SMALL | {"learning_rate": 0.1, "steps": 14})
    with pytest.raises(InputError, match=r"training.learning_rate: 0.002 there, 0.1 here; training.steps: 12"):
        train(build(LSTM), corpus, tmp_path, other, progress=False)
    periodic_corpus(corpus, first_base=1)
    with pytest.raises(InputError, match=r"corpus.codes.npy"):
        train(build(LSTM), corpus, tmp_path, TrainingConfig.from_dict(SMALL), progress=False)


def test_finished_run_is_not_repeated(corpus, tmp_path):
    config = TrainingConfig.from_dict(SMALL)
    first, second = build(LSTM), build(LSTM)
    history = train(first, corpus, tmp_path, config, progress=False)
    assert train(second, corpus, tmp_path, config, progress=False) == history
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
        train(model, corpus, tmp_path, TrainingConfig.from_dict(SMALL), device="cpu", progress=False)
    history = train(build(LSTM), corpus, tmp_path, TrainingConfig.from_dict(SMALL), progress=False)
    assert [row["step"] for row in history] == [5, 10, 12]


def test_log_lines(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    train(build(LSTM), corpus, tmp_path, TrainingConfig.from_dict(SMALL))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 5/12", "step 10/12", "step 12/12"]
    assert "bits/base" in lines[0] and "bases/s" in lines[0] and "ETA" in lines[0]
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    train(build(LSTM), corpus, tmp_path / "notebook", TrainingConfig.from_dict(SMALL))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lerning_rate": 1}, r"'lerning_rate' is no setting of it; did you mean 'learning_rate'\?"),
        ({"steps": 0}, "steps = 0; expected a whole number, 1 or more"),
        ({"steps": 1.5}, "steps = 1.5; expected a whole number"),
        ({"learning_rate": "1e-3"}, "learning_rate = '1e-3'; expected a number"),
        ({"precision": "fp23"}, r"precision 'fp23'; did you mean 'fp32'\?"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig.from_dict(values)


def test_bad_configuration(corpus, tmp_path):
    with pytest.raises(InputError, match="'modle' is no part of it; did you mean 'model'"):
        train_from_config({"modle": {}}, corpus, tmp_path)
    with pytest.raises(InputError, match="no 'model' in it"):
        train_from_config({"training": {}}, corpus, tmp_path)


def test_window_longer_than_the_context(corpus, tmp_path):
    model = build({"kind": "gpt", "layers": 1, "width": 8, "heads": 2, "context": 16})
    with pytest.raises(InputError, match="window 32 is longer than the model's context of 16"):
        train(model, corpus, tmp_path, TrainingConfig.from_dict(SMALL), progress=False)


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


def test_learning_rate_rises_then_falls_along_a_cosine():
    config = TrainingConfig(steps=110, warmup=10, learning_rate=1.0, final=0.1)
    assert learning_rate(0, config) == pytest.approx(0.1)
    assert learning_rate(9, config) == pytest.approx(1.0)
    assert learning_rate(10, config) == pytest.approx(1.0)
    assert learning_rate(60, config) == pytest.approx(0.55)
    assert learning_rate(110, config) == pytest.approx(0.1)


def test_precision_follows_the_machine(monkeypatch):
    cpu = torch.device("cpu")
    assert use_bf16("bf16", cpu)
    assert not use_bf16("fp32", cpu)
    for name, expected in (("avx512_bf16", True), ("amx_bf16", True), ("avx2", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert use_bf16("auto", cpu) is expected


def test_training_needs_torch_numpy_and_safetensors_alone(corpus, tmp_path):
    absent = ["numba", "pandas", "pyarrow", "pyfaidx", "scipy", "sklearn", "tokenizers", "tqdm", "yaml"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}));"
        "from dnastudy.models import load, train_from_config;"
        f"config = {{'model': {LSTM}, 'training': {SMALL}}};"
        f"train_from_config(config, {str(corpus)!r}, {str(tmp_path / 'out')!r});"
        f"print(load({str(tmp_path / 'out')!r}).generate(1, 5))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.strip()) == len("['ACGTA']")
