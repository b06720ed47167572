"""Windows cut from a corpus folder: where they begin, how they end, and that they repeat."""

import pytest
import torch
from periodic_corpus import periodic_corpus

from dnastudy.files import InputError
from dnastudy.models.neural import IGNORED
from dnastudy.models.windows import cut_windows


@pytest.fixture
def corpus(tmp_path):
    return periodic_corpus(tmp_path / "corpus")


def test_windows_begin_anywhere_and_end_with_the_gene(corpus):
    inputs, targets = cut_windows(corpus, "train", 200, 32, [0, 0])
    assert inputs.shape == targets.shape == (200, 32)
    assert (inputs[:, 0] == 2).all()  # each is given the start symbol
    assert torch.equal(inputs[:, 1:][inputs[:, 1:] > 4], targets[:, :-1][inputs[:, 1:] > 4])
    ends = (targets == 3).sum(1)
    assert 0 < ends.sum() < 60
    short = (inputs == 0).any(1)  # the gene of 20 bases: whole, then padding
    assert short.any()
    assert (ends[short] == 1).all()
    assert (targets[short] != IGNORED).sum(1).tolist() == [21] * int(short.sum())
    unknown = (inputs == 1).nonzero()
    assert len(unknown) > 0
    assert all(targets[row, place - 1] == IGNORED for row, place in unknown)


def test_windows_are_a_function_of_the_seed(corpus):
    first, same, other = (cut_windows(corpus, "train", 4, 32, [0, step])[0] for step in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_every_start_is_as_likely(corpus):
    _, targets = cut_windows(corpus, "test", 4000, 32, [1, 0])
    starts = targets[:, 0].bincount()
    # 41 targets with the end symbol: ten windows of 32, starting at bases 0 to 9 = A C G T T C A A C G.
    assert (starts[5:9] / 4000).tolist() == pytest.approx([0.3, 0.3, 0.2, 0.2], abs=0.03)


def test_a_split_without_genes(tmp_path):
    corpus = periodic_corpus(tmp_path / "corpus", split=[0] * 8)
    with pytest.raises(InputError, match="corpus: no validation genes; extract it with a validation split"):
        cut_windows(corpus, "validation", 4, 32, [0])
