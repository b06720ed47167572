"""Windows cut from a corpus folder: where they begin, how they end, and that they repeat."""

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.models.neural import IGNORED
from dnastudy.models.windows import TRAIN, Genes, cut_windows


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


def test_windows_begin_anywhere_and_end_with_the_gene(corpus):
    genes = Genes(corpus)
    inputs, targets = cut_windows(genes, genes.spans(TRAIN), 200, 32, [0, 0])
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
    genes = Genes(corpus)
    first, same, other = (cut_windows(genes, genes.spans(TRAIN), 4, 32, [0, step])[0] for step in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_every_start_is_as_likely(corpus):
    genes = Genes(corpus)
    spans = np.array([[0, 40]])
    _, targets = cut_windows(genes, spans, 4000, 32, [1, 0])
    starts = targets[:, 0].bincount()
    # 41 targets with the end symbol: ten windows of 32, starting at bases 0 to 9 = A C G T T C A A C G.
    assert (starts[5:9] / 4000).tolist() == pytest.approx([0.3, 0.3, 0.2, 0.2], abs=0.03)


def test_spans_and_digest(corpus):
    genes = Genes(corpus)
    assert genes.spans(1).tolist() == [[1170, 1430], [1430, 1730]]
    assert list(genes.digest()) == ["codes.npy", "offsets.npy", "split.npy"]


def test_unreadable_array(corpus):
    (corpus / "codes.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="an array is not readable"):
        Genes(corpus)
