"""What a run says: rates, and the time that is left."""

import io
import sys
from types import SimpleNamespace

import pytest

from dnastudy.models import TrainingConfig
from dnastudy.models.progress import progress_line


def test_line_of_a_look():
    row = {"step": 10, "bases": 1000, "bases_per_second": 2000.0}
    row |= {"train_bits_per_base": 1.95, "validation_bits_per_base": 1.9}
    run, log = SimpleNamespace(step=10, history=[row]), io.StringIO()
    with progress_line(TrainingConfig(steps=50), log, "word") as report:
        report(run)
        run.step = 11
        report(run)  # no look since
    assert log.getvalue() == ("step 10/50  train 1.9500  validation 1.9000 bits/word  2,000 words/s  ETA 2 s\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_run_that_goes_on_says_so(stream, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_line(TrainingConfig(steps=50), True) as report:
        report(SimpleNamespace(step=8, history=[]), going_on=True)
    assert "going on from step 8 of 50\n" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_line(TrainingConfig(steps=50), False) as report:  # as in every process but the first
        report(SimpleNamespace(step=8, history=[]), going_on=True)
    assert sys.stderr.getvalue() == ""
