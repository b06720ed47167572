"""What a run says: rates, the share of a GPU's peak, and the time that is left."""

import io
import sys
from types import SimpleNamespace

import pytest
import torch

from dnastudy.models import TrainingConfig, build
from dnastudy.models.training import flops_per_position, progress_line, utilisation

GPT = {"kind": "gpt", "layers": 2, "width": 8, "heads": 2, "context": 16}


def test_operations_of_a_position():
    lstm = build({"kind": "lstm", "layers": 1, "width": 8, "embedding": 4}, device="cpu")
    assert flops_per_position(lstm, 100) == flops_per_position(lstm, 200) == 6 * lstm.size
    gpt = build(GPT, device="cpu")
    assert flops_per_position(gpt, 16) == 6 * gpt.size + 12 * 2 * 8 * 16


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("Tesla T4", None),
    ],
)
def test_share_of_the_peak(name, peak, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    model = SimpleNamespace(device=torch.device("cuda", 0), kind="lstm", size=1_000_000)
    assert utilisation(model, 256) == (peak and 6_000_000 / peak)


def test_a_processor_has_no_known_peak():
    assert utilisation(build(GPT, device="cpu"), 16) is None


def test_line_of_a_look():
    row = {"step": 10, "bases": 1000, "bases_per_second": 2000.0}
    row |= {"train_bits_per_base": 1.95, "validation_bits_per_base": 1.9}
    run, log = SimpleNamespace(step=10, history=[row]), io.StringIO()
    with progress_line(TrainingConfig(steps=50), log, 0.0002, "word") as report:
        report(run)
        run.step = 11
        report(run)  # no look since
    assert log.getvalue() == (
        "step 10/50  train 1.9500  validation 1.9000 bits/word  2,000 words/s  MFU 40.0%  ETA 2 s\n"
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_run_that_goes_on_says_so(stream, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_line(TrainingConfig(steps=50), True, None) as report:
        report(SimpleNamespace(step=8, history=[]), going_on=True)
    assert "going on from step 8 of 50\n" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_line(TrainingConfig(steps=50), False, None) as report:  # as in every process but the first
        report(SimpleNamespace(step=8, history=[]), going_on=True)
    assert sys.stderr.getvalue() == ""
