"""Training: what is learnt from, exact resumption after a kill or Ctrl-C, and what is refused."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from dnastudy.files import InputError, read_json
from dnastudy.models import build, load
from dnastudy.models.training import (
    TrainingConfig,
    bits_per_base,
    learning_rate,
    train,
    train_from_config,
    use_bf16,
)
from dnastudy.models.windows import Genes, cut_windows

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
    """Eight genes of a period of 7 bases, one of them short, one with an unknown base."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    lengths = [300, 250, 20, 400, 200, 260, 300, 300]
    codes = np.concatenate([np.resize([0, 1, 2, 3, 3, 1, 0], n) for n in lengths]).astype(np.uint8)
    codes[50] = 4
    np.save(folder / "codes.npy", codes)
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(folder / "split.npy", np.array([0, 0, 0, 0, 0, 1, 1, 2], dtype=np.uint8))
    return folder


def curve(history):
    return [{key: value for key, value in row.items() if key != "bases_per_second"} for row in history]


def in_subprocess(corpus, out, config):
    program = (
        "import json, sys; from pathlib import Path; from dnastudy.models import train_from_config;"
        "train_from_config(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), 'cpu')"
    )
    arguments = [sys.executable, "-c", program, json.dumps(config), str(corpus), str(out)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def wait_for(path, process, seconds=60):
    for _ in range(seconds * 100):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.01)


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
    genes = Genes(corpus)
    held_out = cut_windows(genes, genes.spans(1), 4, 32, [1])
    assert bits_per_base(model, *held_out, 4) == pytest.approx(min(looks), abs=1e-6)


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(corpus, tmp_path):
    config = {"model": LSTM, "training": SMALL | {"steps": 200, "validate_every": 35}}
    whole = train_from_config(config, corpus, tmp_path / "whole", "cpu", progress=False)
    process = in_subprocess(corpus, tmp_path / "killed", config)
    wait_for(tmp_path / "killed" / "checkpoint" / "state.safetensors", process)
    time.sleep(0.1)  # some moment between the first checkpoint and the end
    process.send_signal(signal.SIGKILL)
    process.communicate()
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
    process = in_subprocess(corpus, tmp_path / "stopped", config)
    assert "step 5/200" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    message = process.communicate()[1]
    assert "KeyboardInterrupt: stopped after step" in message
    assert (tmp_path / "stopped" / "checkpoint" / "state.safetensors").exists()
    resumed = train_from_config(config, corpus, tmp_path / "stopped", "cpu", progress=False)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_checkpoint_of_another_configuration_is_refused(corpus, tmp_path):
    train(build(LSTM), corpus, tmp_path, TrainingConfig.from_dict(SMALL), progress=False)
    other = TrainingConfig.from_dict(SMALL | {"learning_rate": 0.1, "steps": 14})
    with pytest.raises(InputError, match=r"training.learning_rate: 0.002 there, 0.1 here; training.steps: 12"):
        train(build(LSTM), corpus, tmp_path, other, progress=False)
    codes = np.load(corpus / "codes.npy")
    codes[3] = 0
    np.save(corpus / "codes.npy", codes)
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
    np.save(corpus / "split.npy", np.zeros(8, dtype=np.uint8))
    with pytest.raises(InputError, match="no validation genes"):
        train_from_config(config, corpus, tmp_path / "out", progress=False)
    np.save(corpus / "split.npy", np.zeros(7, dtype=np.uint8))
    with pytest.raises(InputError, match="9 offsets ending at 2030 and 7 split marks don't belong together"):
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
