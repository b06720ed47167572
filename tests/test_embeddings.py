"""Token embeddings: properties and components by hand, self-similarity as all pairs give it, Word2Vec on a toy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models import Bert
from dnastudy.models.store import untrained
from dnastudy.tasks import embeddings
from dnastudy.tokens import KmerTokenizer, Tokenizer

RANDOM = np.random.default_rng(0)


@pytest.fixture
def model():
    torch.manual_seed(2)
    model = Bert(layers=2, width=16, heads=2, context=64).eval()
    with torch.no_grad():  # small initial weights would leave all states near the embedding
        for one in model.parameters():
            one.mul_(4)
    return model


def test_properties_of_the_tokens_that_come():
    tokenizer = Tokenizer([("A", "C"), ("G", "G")])
    ids = tokenizer.encode("ACACGGNT")  # AC AC GG N T
    table = embeddings.token_properties(tokenizer, ids, np.array([1, 1, 0, 0, 1, 0, 0, 1], dtype=bool))
    assert table["token"].tolist() == ["T", "AC", "GG"] and table["count"].tolist() == [1, 2, 1]
    assert table["per Mb"].tolist() == pytest.approx([1e6 / 7, 2e6 / 7, 1e6 / 7])
    assert_allclose(table["log frequency"], np.log([0.25, 0.5, 0.25]))
    assert table["GC"].tolist() == [0, 0.5, 1] and table["AG"].tolist() == [0, 0.5, 1]
    assert table["AC"].tolist() == [0, 1, 0] and table["in_repeats"].tolist() == [1, 0.5, 0.5]


def test_components_are_those_of_scikit_learn_but_for_their_sign():
    vectors = RANDOM.normal(size=(40, 7)) * np.arange(1, 8)
    scores, shares = embeddings.principal_components(vectors, 5)
    theirs = PCA(5).fit(vectors)
    assert_allclose(shares, theirs.explained_variance_ratio_)
    assert_allclose(np.abs(scores), np.abs(theirs.transform(vectors)))
    assert (scores.max(axis=0) == np.abs(scores).max(axis=0)).all()


def test_there_are_fewer_components_than_vectors():
    assert embeddings.principal_components(RANDOM.normal(size=(4, 9)))[0].shape == (4, 3)


def test_an_untrained_model_is_of_the_same_build_and_of_its_seed(model):
    state = torch.get_rng_state()
    first, again, other = (untrained(model, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.config == model.config and first.tokenizer is model.tokenizer and not first.training
    assert torch.equal(first.embedding.weight, again.embedding.weight)
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_one_place_of_each_token_is_drawn_wherever_it_stands():
    ids, random = np.array([2, 5, 5, 6, 5, 1, 3]), np.random.default_rng(0)
    places = np.array([embeddings._one_each(ids, random) for _ in range(300)])
    assert (ids[places] == [5, 6]).all()
    assert np.bincount(places[:, 0]).tolist()[1:] == pytest.approx([100, 100, 0, 100], abs=30)


def test_contexts_do_not_depend_on_the_size_of_batches(model, monkeypatch):
    windows = [encode(letters) for letters in ("AACAGTACA", "CACNAC", "GAGATTGA", "TTAACC")]
    found = embeddings.read_contexts(model, windows)
    monkeypatch.setattr("dnastudy.models.pooled.positions_at_once", lambda *_: 1)
    for one, other in zip(found, embeddings.read_contexts(model, windows), strict=True):
        assert_allclose(one, other, atol=1e-5)


def test_contexts_are_the_states_of_one_of_each_token_in_a_window(model):
    windows = [encode("ANCN"), encode("CNT"), encode("GNN")]
    found = embeddings.read_contexts(model, windows)
    assert found.windows.tolist() == [0, 0, 0, 0, 0, 1, 2, 1, 1]
    with model.evaluating():
        first, second = (model.states(torch.tensor([[2, *ids, 3]])) for ids in ([5, 1, 6, 1], [6, 1, 8]))
    for layer in range(3):
        assert_allclose(found.states[layer, 5], first[layer][0, 1], atol=1e-5)
        both = torch.stack([first[layer][0, 3], second[layer][0, 1]])
        assert_allclose(found.states[layer, 6], both.sum(0), atol=1e-5)
        assert_allclose(found.directions[layer, 6], (both / both.norm(dim=1, keepdim=True)).sum(0), atol=1e-5)
    assert_allclose(found.means()[6], both.mean(0), atol=1e-5)
    assert np.isnan(found.means()[0]).all()


def test_of_a_window_longer_than_the_context_the_piece_in_its_middle_is_read(model):
    window = RANDOM.integers(4, size=150).astype(np.uint8)  # 62 tokens fit: three pieces of 50
    window[50:100] = encode("A" * 50)
    found = embeddings.read_contexts(model, [window])
    assert found.windows.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0]
    found = embeddings.read_contexts(model, [np.repeat([1, 2], 50).astype(np.uint8)])  # two pieces: the second
    assert found.windows.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_self_similarity_is_the_mean_over_all_pairs():
    states = {0: RANDOM.normal(size=(5, 6)), 1: RANDOM.normal(size=(3, 6)), 2: RANDOM.normal(size=(1, 6))}
    unit = {token: its / np.linalg.norm(its, axis=1, keepdims=True) for token, its in states.items()}
    directions = np.stack([its.sum(axis=0) for its in unit.values()])[None]
    found = embeddings.Contexts(np.array([5, 3, 1]), directions, directions)
    alike, anisotropy = embeddings.self_similarity(found, least=2)
    for token in (0, 1):
        pairs = cosine_similarity(states[token])[np.triu_indices(len(states[token]), 1)]
        assert alike[0, token] == pytest.approx(pairs.mean())
    assert np.isnan(alike[0, 2])
    assert anisotropy == pytest.approx([cosine_similarity(states[0], states[1]).mean()])


def test_the_same_state_everywhere_is_wholly_self_similar():
    directions = np.array([[[4.0, 0], [0, 3.0], [0, 0]]])
    alike, anisotropy = embeddings.self_similarity(embeddings.Contexts(np.array([4, 3, 0]), directions, directions), 2)
    assert alike[0, :2].tolist() == [1, 1] and np.isnan(alike[0, 2]) and anisotropy.tolist() == [0]


def test_one_token_has_no_anisotropy():
    directions = np.array([[[4.0, 0], [1.0, 0]]])
    found = embeddings.Contexts(np.array([4, 1]), directions, directions)
    assert np.isnan(embeddings.self_similarity(found, 2)[1]).all()


def test_word2vec_puts_tokens_of_the_same_neighbours_together():
    # CC and GG stand in the same surroundings, AA and TT in the others'.
    pairs = RANDOM.choice(["AACCAA", "AAGGAA", "TTCATT", "TTACTT"], size=40_000)
    tokenizer = KmerTokenizer(2)
    ids = tokenizer.encode("".join(pairs))
    vectors = embeddings.word2vec(ids, tokenizer, 8, epochs=5, seed=1)
    number = {token: place for place, token in enumerate(tokenizer.tokens)}
    assert np.isnan(vectors[number["GT"]]).all() and vectors.dtype == np.float32
    alike = cosine_similarity(vectors[[number[token] for token in ("CC", "GG", "CA", "AC")]])
    assert alike[0, 1] > max(alike[0, 2], alike[0, 3]) and alike[2, 3] > alike[2, 0]
    assert_allclose(vectors, embeddings.word2vec(ids, tokenizer, 8, epochs=5, seed=1))


def test_word2vec_needs_two_tokens_side_by_side():
    with pytest.raises(InputError, match="no two known tokens side by side"):
        embeddings.word2vec(np.array([5, 1, 6]), Tokenizer(), 4)


def test_neighbours_by_cosine():
    vectors = np.array([[1.0, 0], [2.0, 0.1], [0, 1.0], [-1.0, 0]])
    assert embeddings.neighbours(vectors, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert embeddings.neighbours(vectors[:2]).tolist() == [[1], [0]]
