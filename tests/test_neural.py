"""Ids and targets, windows to score by, the device."""

import pytest

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models.neural import IGNORED, _pieces, inputs_and_targets, pick_device


def test_inputs_and_targets():
    inputs, targets = inputs_and_targets(encode("ACNT"), end=False)
    assert inputs.tolist() == [2, 5, 6, 1]
    assert targets.tolist() == [5, 6, IGNORED, 8]
    inputs, targets = inputs_and_targets(encode("ACNT"), end=True)
    assert inputs.tolist() == [2, 5, 6, 1, 8]
    assert targets.tolist() == [5, 6, IGNORED, 8, 3]


def test_nothing_but_the_end():
    inputs, targets = inputs_and_targets(encode(""), end=True)
    assert (inputs.tolist(), targets.tolist()) == ([2], [3])
    assert inputs_and_targets(encode(""), end=False)[0].shape == (0,)


@pytest.mark.parametrize("context", [2, 3, 16, 17])
@pytest.mark.parametrize("length", [0, 1, 16, 17, 18, 100])
def test_pieces_cover_every_target_once(length, context):
    pieces = list(_pieces(length, context))
    new = [place for _, stop, first in pieces for place in range(first, stop)]
    assert new == list(range(length))
    for start, stop, first in pieces:
        assert stop - start <= context
        assert first == 0 or first - start >= context - context // 2 or start == 0


def test_recurrent_models_take_a_sequence_as_one_piece():
    assert list(_pieces(10**6, None)) == [(0, 10**6, 0)]


def test_device():
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="device 'gpu': unknown; expected cpu, cuda"):
        pick_device("gpu")
    assert pick_device(None).type in ("cpu", "cuda")
