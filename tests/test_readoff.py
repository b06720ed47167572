"""Bits of tokens and the next k-mer, read off a model, against sums over all rows of tokens by hand."""

import itertools

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.genes.codes import decode, encode
from dnastudy.models import NgramModel, build, token_bits
from dnastudy.models.token_bits import marginal, next_kmers, ngram_next_kmers, successors, token_log_likelihoods
from dnastudy.tokens.tokenizer import KmerTokenizer, Tokenizer, single_base

ALIKE = Tokenizer([("A", "C"), ("C", "G"), ("A", "CG"), ("ACG", "T"), ("AC", "G")])  # two merges spell ACG
RUNS = Tokenizer([("A", "A"), ("AA", "AA"), ("AAAA", "C"), ("G", "A"), ("GA", "AA")])
ENDING = Tokenizer([("A", "A"), ("A", "C"), ("A", "G"), ("A", "T")])  # an A by itself is a sequence's last token
TOKENIZERS = {"bases": single_base(), "3-mers": KmerTokenizer(3), "merges": ALIKE, "runs": RUNS, "ending": ENDING}


def small_model(tokenizer, kind="lstm", **changes):
    torch.manual_seed(0)
    sizes = {"layers": 2, "width": 8} | ({"heads": 1, "context": 40} if kind == "gpt" else {"embedding": 4})
    model = build({"kind": kind, "vocabulary": len(tokenizer), **sizes, **changes}, device="cpu")
    with torch.no_grad():  # small initial weights would make all words near equally likely
        for weights in model.parameters():
            weights.mul_(3)
    return model


def text(length, seed=0, letters="ACGT"):
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def by_hand(model, tokenizer, context, k):
    """Log-probabilities of the next `k` bases: the sum over encodings of all that the context may go on with."""
    reach, rows = int(tokenizer.lengths.max()), {}
    may_follow = successors(tokenizer)
    last = slice(5, 9) if isinstance(tokenizer, KmerTokenizer) else ~may_follow[:, 5:].any(1)
    may_follow[:, last] = False  # known bases go on
    for length in range(k, k + reach):
        for letters in itertools.product("ACGT", repeat=length):
            whole = context + "".join(letters)
            ids = tokenizer.encode(whole)
            if tokenizer.offsets(ids)[-2] < len(context) + k and may_follow[:, ids].any(0).all():
                rows[tuple(ids)] = "".join(letters[:k])
    nats = token_log_likelihoods(model, [np.array(ids) for ids in rows], may_follow=may_follow)
    total = dict.fromkeys(("".join(letters) for letters in itertools.product("ACGT", repeat=k)), 0.0)
    for kmer, one in zip(rows.values(), nats, strict=True):
        total[kmer] += np.exp(one.sum(dtype=float))
    shares = np.array(list(total.values()))
    return np.log(shares / shares.sum())


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_next_kmers_add_up_all_rows_of_tokens(name, kind, k):
    tokenizer = TOKENIZERS[name]
    model = small_model(tokenizer, kind)
    contexts = ["", "A", "TGAA", "CACGACG", "GAAAAAAA", text(9), text(20, 1, "AC"), text(12, 2)]
    found = next_kmers(model, tokenizer, [tokenizer.encode(one) for one in contexts], k, successors(tokenizer))
    assert (found.shape, found.dtype) == ((8, 4**k), np.float32)
    for context, one in zip(contexts, found, strict=True):
        assert one == pytest.approx(by_hand(model, tokenizer, context, k), abs=1e-5), context


@pytest.mark.parametrize("name", TOKENIZERS)
def test_examples_side_by_side_do_not_matter(name, monkeypatch):
    tokenizer = TOKENIZERS[name]
    model = small_model(tokenizer)
    contexts = [tokenizer.encode(text(length, length)) for length in (0, 3, 30, 8, 8, 17, 30)]
    together = next_kmers(model, tokenizer, contexts, 4, successors(tokenizer))
    monkeypatch.setattr(token_bits, "_KMERS", 2 * 4**4)
    monkeypatch.setattr(token_bits, "_ROWS", 5)
    assert next_kmers(model, tokenizer, contexts, 4, successors(tokenizer)) == pytest.approx(together, abs=1e-5)
    assert np.exp(together).sum(1) == pytest.approx(1)


def test_next_kmers_of_single_bases_are_products_of_conditionals():
    model = small_model(single_base())
    context = text(25)
    whole = model.log_likelihood([context + "".join(letters) for letters in itertools.product("ACGT", repeat=3)])
    found = next_kmers(model, single_base(), [single_base().encode(context)], 3, successors(single_base()))[0]
    assert found == pytest.approx(whole - model.log_likelihood([context]), abs=1e-4)
    assert next_kmers(model, single_base(), [], 3, successors(single_base())).shape == (0, 64)


def test_fewer_bases_are_a_marginal():
    model = small_model(RUNS)
    contexts = [RUNS.encode(text(12, seed)) for seed in range(5)]
    longest = next_kmers(model, RUNS, contexts, 4, successors(RUNS))
    assert marginal(longest, 4) == pytest.approx(longest)
    for k in (1, 2, 3):
        assert marginal(longest, k) == pytest.approx(next_kmers(model, RUNS, contexts, k, successors(RUNS)), abs=1e-4)


@pytest.mark.parametrize("name", ["merges", "runs"])
def test_no_probability_is_lost_once_words_that_may_not_follow_are_left_out(name):
    tokenizer = TOKENIZERS[name]
    model = small_model(tokenizer)
    strings = ["".join(letters) for length in range(2, 7) for letters in itertools.product("ACGT", repeat=length)]
    # Each sequence begins with one of the rows that reach over two bases, and with no more than one.
    rows = {tuple(ids) for ids in map(tokenizer.encode, strings) if tokenizer.offsets(ids)[-2] < 2}
    rows = [np.array(ids) for ids in rows]
    exact = token_log_likelihoods(model, rows, may_follow=successors(tokenizer))
    assert np.exp([one.sum() for one in exact]).sum() == pytest.approx(1, abs=1e-5)
    bound = token_log_likelihoods(model, rows)
    assert np.exp([one.sum() for one in bound]).sum() < 0.99
    assert all((one >= other - 1e-6).all() for one, other in zip(exact, bound, strict=True))


@pytest.mark.parametrize("kind", ["lstm", "gru", "gpt"])
def test_tokens_of_single_bases_cost_what_bases_do(kind):
    model = small_model(single_base(), kind)
    texts = [text(length, length) for length in (40, 1, 0, 23)] + ["ACNNG"]
    found = token_log_likelihoods(model, [single_base().encode(one) for one in texts])
    for one, bases in zip(found, model.base_log_likelihoods(texts), strict=True):
        assert one.dtype == np.float32
        assert one == pytest.approx(bases, abs=1e-5, nan_ok=True)


def test_tokens_are_normalised_over_words():
    model = small_model(RUNS)
    before = RUNS.encode("GATTAC")
    words = range(5, len(RUNS))
    shares = np.array([np.exp(token_log_likelihoods(model, [np.append(before, word)])[0][-1]) for word in words])
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    may = successors(RUNS)
    some = token_log_likelihoods(model, [np.append(before, word) for word in words], may_follow=may)
    assert np.exp([one[-1] for one in some]) == pytest.approx(
        np.where(may[6, 5:], shares, 0) / shares[may[6, 5:]].sum(), abs=1e-5
    )


def test_state_is_carried_over_chunks_of_a_row(monkeypatch):
    model = small_model(RUNS)
    rows = [RUNS.encode(text(length, length)).astype(np.uint16) for length in (70, 33, 100)]
    whole = token_log_likelihoods(model, rows)
    monkeypatch.setattr(token_bits, "_CHUNK", 16)
    monkeypatch.setattr(token_bits, "_POSITIONS", 32)
    for one, other in zip(token_log_likelihoods(model, rows), whole, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("order", [1, 4, 15])
def test_next_kmers_of_an_ngram_model(order, monkeypatch):
    model = NgramModel(order).fit([text(3000, 1, "AACGT"), text(40)])
    contexts = np.stack([encode(text(10, seed)) for seed in range(5)])
    found = ngram_next_kmers(model, contexts, 3)
    for context, one in zip(map(decode, contexts), found, strict=True):
        whole = model.log_likelihood([context + "".join(letters) for letters in itertools.product("ACGT", repeat=3)])
        assert one == pytest.approx(whole - model.log_likelihood([context]), abs=1e-4)
    monkeypatch.setattr(token_bits, "_KMERS", 8)
    assert ngram_next_kmers(model, contexts, 3) == pytest.approx(found)


def test_a_row_longer_than_the_context_is_refused():
    with pytest.raises(InputError, match="a row of 41 tokens; this gpt model sees 40: cut shorter rows"):
        token_log_likelihoods(small_model(RUNS, "gpt"), [np.full(41, 5)])
