"""Batches cut from a corpus: where windows begin, how genes end, which share a batch, and that all repeat."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from periodic_corpus import periodic_corpus

from dnastudy.files import InputError
from dnastudy.models.batches import CorpusSource, GeneBatches, cut_windows, training_spans
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig

GENES = TrainingConfig(sampling="genes", batch=4, window=256)


@pytest.fixture
def small(tmp_path):
    return periodic_corpus(tmp_path / "corpus")


def windows(corpus, split, *arguments, **options):
    return cut_windows(corpus.all_codes, corpus.spans(split), *arguments, **options)


def read(targets):
    """The bases among the targets of a row."""
    return "".join("ACGT"[id - 5] for id in targets.tolist() if id >= 5)


def test_windows_begin_anywhere_and_end_with_the_gene(small):
    inputs, targets = windows(small, "train", 200, 32, [0, 0])
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


def test_windows_are_a_function_of_the_seed(small):
    first, same, other = (windows(small, "train", 4, 32, [0, step])[0] for step in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_every_start_is_as_likely(small):
    _, targets = windows(small, "test", 4000, 32, [1, 0])
    starts = targets[:, 0].bincount()
    # 41 targets with the end symbol: ten windows of 32, starting at bases 0 to 9 = A C G T T C A A C G.
    assert (starts[5:9] / 4000).tolist() == pytest.approx([0.3, 0.3, 0.2, 0.2], abs=0.03)


def test_without_the_end_symbol_no_window_has_one(small):
    _, targets = windows(small, "train", 200, 32, [0, 0], end=False)
    assert not (targets == 3).any()
    whole = {len(read(row)) for row in targets}
    assert {20, 32} <= whole  # the gene of 20 bases, and full windows up to the last base


def test_half_of_the_windows_are_of_the_opposite_strand(small):
    inputs, targets = windows(small, "test", 400, 32, [1, 0], reverse_complement=True)
    rows = [read(row) for row in targets]
    forward = [row in "ACGTTCA" * 20 for row in rows]
    assert all(here or row in "TGAACGT" * 20 for here, row in zip(forward, rows, strict=True))
    assert sum(forward) / 400 == pytest.approx(0.5, abs=0.1)
    ends = (targets == 3).any(1)
    backwards = [row for row, here, end in zip(rows, forward, ends, strict=True) if end and not here]
    assert backwards
    assert set(backwards) == {("TGAACGT" * 6)[-31:]}  # the gene of 40 bases, whose opposite strand ends with its start
    assert (inputs[:, 0] == 2).all()


def test_a_split_without_genes(tmp_path):
    corpus = periodic_corpus(tmp_path / "corpus", split=[0] * 8)
    with pytest.raises(InputError, match="corpus: no validation genes; extract it with a validation split"):
        CorpusSource(corpus, GENES)
    corpus = periodic_corpus(tmp_path / "other", split=[1] * 8)
    with pytest.raises(InputError, match="other: no train genes; extract it with a train split"):
        CorpusSource(corpus, GENES)


def test_validation_has_bases_alone_and_short_windows_last(small):
    inputs, targets = CorpusSource(small, TrainingConfig(validation_windows=30, window=280)).validation()
    assert not (targets == 3).any()
    padding = (inputs == 0).sum(1).tolist()
    assert padding == sorted(padding)
    assert padding[0] == 0 < padding[-1]


def test_an_epoch_of_genes_has_each_gene_once(small):
    source = CorpusSource(small, GENES)
    assert source.epoch_steps == 2  # 300, 250, 400 and 200 bases; 20 bases are too few to stand beside them
    for epoch in (0, 1):
        drawn = [source.draw(2 * epoch + number) for number in (0, 1)]
        rows = [read(row) for _, targets in drawn for row in targets]
        expected = [("ACGTTCA" * 40)[:bases] for bases in (256, 250, 256, 200, 20)]
        expected[0] = expected[0][:50] + expected[0][51:]  # an unknown base is no target
        assert sorted(rows) == sorted(expected)
        for inputs, targets in drawn:
            assert len(inputs[0]) in (256, 21)
            assert torch.equal((inputs != 0).sum(1), (targets != IGNORED).sum(1) + (inputs == 1).sum(1))
    assert source.bases(*drawn[0]) + source.bases(*drawn[1]) == 256 + 250 + 256 + 200 + 20 - 1


def test_genes_with_the_end_symbol_where_there_is_room(small):
    drawn = [CorpusSource(small, GENES).draw(step)[1] for step in (0, 1)]
    ends = [len(read(row)) for targets in drawn for row in targets if (row == 3).any()]
    assert sorted(ends) == [20, 200, 250]


def test_batches_of_the_sample_waste_little(corpus):
    for window in (256, 1023, 4096):
        source = CorpusSource(corpus, TrainingConfig(sampling="genes", batch=8, window=window))
        drawn = [source.draw(step)[0] for step in range(source.epoch_steps)]
        assert sum(map(len, drawn)) == 63
        assert sum(int((inputs == 0).sum()) for inputs in drawn) / sum(inputs.numel() for inputs in drawn) < 0.1


@given(
    st.lists(st.integers(1, 2000), min_size=1, max_size=300),
    st.integers(1, 64),
    st.integers(0, 5),
)
def test_no_batch_of_genes_is_padded_by_more_than_a_tenth(lengths, batch, epoch):
    lengths = np.array(lengths)
    batches = GeneBatches(lengths, batch)
    drawn = batches.shuffled([0, epoch])
    assert len(drawn) == len(batches)
    assert sorted(np.concatenate(drawn)) == list(range(len(lengths)))
    for numbers in drawn:
        assert 1 <= len(numbers) <= batch
        assert lengths[numbers].sum() >= 0.9 * len(numbers) * lengths[numbers].max()


def test_epochs_differ_in_order_and_company():
    batches = GeneBatches(np.random.default_rng(0).integers(20, 1000, 2000), 50)
    assert 40 <= len(batches) < 48  # not many more than 2,000 / 50
    first, same, other = (batches.shuffled([0, epoch]) for epoch in (0, 0, 1))
    assert [numbers.tolist() for numbers in first] == [numbers.tolist() for numbers in same]
    company, new_company = ({frozenset(numbers.tolist()) for numbers in epoch} for epoch in (first, other))
    assert len(company & new_company) <= 3  # of the shortest genes, there are few to change places with


def test_a_smaller_subset_of_genes_lies_in_a_larger_one(corpus):
    def places(bases, seed):
        spans = training_spans(corpus, bases, seed)
        assert (np.diff(spans[:, 0]) > 0).all()
        return set(np.concatenate([np.arange(start, end) for start, end in spans]).tolist())

    small, large = places(3_000, 1), places(30_000, 1)
    assert (len(small), len(large)) == (3_000, 30_000)
    assert small < large
    assert small != places(3_000, 2)
    everything = training_spans(corpus)
    assert everything.tolist() == corpus.spans("train").tolist()
    total = int(np.diff(everything).sum())
    assert training_spans(corpus, total, 3).tolist() == everything.tolist()
    with pytest.raises(InputError, match=f"train_bases {total + 1:,}; the training genes have {total:,}"):
        training_spans(corpus, total + 1)


def test_windows_come_from_the_subset_alone(corpus):
    source = CorpusSource(corpus, TrainingConfig(train_bases=500, window=600, batch=3))
    ((start, end),) = source.spans
    assert end - start == 500
    _, targets = source.draw(0)
    assert targets.shape == (3, 600)
    assert {read(row) for row in targets} == {"".join("ACGT"[code] for code in corpus.all_codes[start:end])}
    assert source.epoch_steps == 1
