"""Training in two processes under torchrun: the curve of one, its checkpoint, and an end for all of them."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from periodic_corpus import periodic_corpus

from dnastudy.files import read_json
from dnastudy.models import load, train_from_config
from dnastudy.models.parallel import all_reduce, broadcast, own_device, pieces, rank, world_size

TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dnastudy"]
TRAINING = {"steps": 20, "batch": 5, "window": 32, "warmup": 2, "validate_every": 1, "validation_windows": 4}
CONFIG = {
    "model": {"kind": "gpt", "layers": 1, "width": 16, "heads": 2, "context": 32},
    "training": TRAINING | {"precision": "fp32", "checkpoint_every": 4},
}


@pytest.fixture
def corpus(tmp_path):
    return periodic_corpus(tmp_path / "corpus").folder


def start(config, corpus, out):
    """Train in two processes by the command line."""
    file = out.with_suffix(".json")
    file.write_text(json.dumps(config))
    command = [*TWO, "train", "--config", str(file), "--corpus", str(corpus), "--out", str(out), "--device", "cpu"]
    alone = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=alone, text=True, start_new_session=True, **pipes)


def costs(out):
    return [
        [row[f"{which}_bits_per_base"] for row in read_json(out / "history.json")] for which in ("train", "validation")
    ]


def test_alone_nothing_is_shared():
    drawn = torch.arange(10).view(5, 2), torch.arange(10).view(5, 2) + 100
    assert (rank(), world_size()) == (0, 1)
    assert [inputs[:, 0].tolist() for inputs, _ in pieces(drawn, 2)] == [[0, 2], [4, 6], [8]]
    assert all_reduce([], torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert broadcast(1.5, torch.device("cpu")) == 1.5
    assert own_device("cpu") == torch.device("cpu")


def test_rows_are_shared_among_processes(monkeypatch):
    drawn = torch.arange(5)[:, None], torch.arange(5)[:, None]
    monkeypatch.setattr("dnastudy.models.parallel.world_size", lambda: 3)
    shares = []
    for number in range(3):
        monkeypatch.setattr("dnastudy.models.parallel.rank", lambda number=number: number)
        shares.append([inputs.flatten().tolist() for inputs, _ in pieces(drawn, 1)])
    assert shares == [[[0], [1]], [[2], [3]], [[4]]]
    assert list(pieces((drawn[0][:2], drawn[1][:2]), 4)) == []  # two rows for three processes


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"sampling": "genes", "accumulate": 2}], ids=["windows", "genes"])
def test_two_processes_give_the_curve_of_one(settings, corpus, tmp_path):
    config = CONFIG | {"training": CONFIG["training"] | settings}
    train_from_config(config, corpus, tmp_path / "one", "cpu", progress=False)
    process = start(config, corpus, tmp_path / "two")
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert said.count("step 20/20") == 1  # the first process alone prints
    for one, two in zip(costs(tmp_path / "one"), costs(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    models = [load(tmp_path / name, device="cpu") for name in ("one", "two")]
    for one, two in zip(*(model.parameters() for model in models), strict=True):
        assert torch.allclose(one, two, atol=1e-5)
    assert not (tmp_path / "two" / "checkpoint").exists()


class Stop:
    """A log that breaks off training at a step."""

    def __init__(self, step):
        self.line = f"step {step}/"

    def write(self, text):
        if text.startswith(self.line):
            raise BrokenPipeError

    def flush(self):
        pass


@pytest.mark.slow
def test_two_processes_go_on_from_the_checkpoint_of_one(corpus, tmp_path):
    train_from_config(CONFIG, corpus, tmp_path / "one", "cpu", progress=False)
    with pytest.raises(BrokenPipeError):
        train_from_config(CONFIG, corpus, tmp_path / "two", "cpu", progress=Stop(10))
    process = start(CONFIG, corpus, tmp_path / "two")
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert "step 8/20" not in said and "step 9/20" in said
    assert said.count("going on from step 8 of 20\n") == 1  # the first process alone
    for one, two in zip(costs(tmp_path / "one"), costs(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, abs=1e-5)


@pytest.mark.slow
def test_both_processes_refuse_to_overwrite_a_model(corpus, tmp_path):
    train_from_config(CONFIG, corpus, tmp_path / "out", "cpu", progress=False)
    process = start(CONFIG, corpus, tmp_path / "out")
    _, said = process.communicate(timeout=100)
    assert process.returncode == 1
    assert f"dnastudy: error: {tmp_path}/out: a finished gpt model stands there; give another folder" in said
    assert "another run is training there" not in said


@pytest.mark.slow
def test_an_error_ends_both_processes(corpus, tmp_path):
    config = CONFIG | {"training": CONFIG["training"] | {"learning_rate": 1e30, "clip": 0.0, "warmup": 0}}
    process = start(config, corpus, tmp_path / "out")
    _, said = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "dnastudy: error: step 1: validation nan bits/base at learning rate 1e+30" in said
    assert not (tmp_path / "out" / "config.json").exists()


@pytest.mark.slow
def test_ctrl_c_ends_both_processes_and_leaves_a_checkpoint(corpus, tmp_path):
    config = CONFIG | {"training": CONFIG["training"] | {"steps": 100_000, "checkpoint_every": 100_000}}
    process = start(config, corpus, tmp_path / "out")
    for line in process.stderr:
        if line.startswith("step 5/"):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "dnastudy: interrupted; the same command goes on from here" in said
    assert (tmp_path / "out" / "checkpoint" / "state.safetensors").exists()
