"""What a prediction of the next k-mer must beat: chance, the commonest k-mer, n-grams, and words of the context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.genes.fasta import decode
from dnastudy.models.counts import count, first_place
from dnastudy.models.readoff import marginal, ngram_next_kmers
from dnastudy.tasks.next_kmer import kmer_numbers, known_runs, windows

if TYPE_CHECKING:
    import pandas as pd

    from dnastudy.models import NgramModel

WORDS = (1, 4)  # bases of the shortest and the longest words of the context that TF-IDF counts
PENALTY = 1.0  # on the squared coefficients of the linear model
FOREST = {"max_depth": 12, "n_jobs": 1}
FOREST_EXAMPLES = 10_000  # at most; a tree's time goes with examples times classes,
FOREST_K = 4  # so that no forest is grown for longer k-mers
_TOGETHER = 4096  # examples whose probabilities of all k-mers are held at once


def score_floors(
    train_codes: np.ndarray,
    test_codes: np.ndarray,
    learn: np.ndarray,
    test: np.ndarray,
    *,
    sizes: Sequence[int],
    context: int = 50,
    ngrams: Mapping[str, NgramModel] = MappingProxyType({}),
    trees: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the k-mers at test places by what is simple.

    "uniform": every k-mer is as likely. "majority": shares of the k-mers in all training contigs, add-one. N-grams, by
    their names. "TF-IDF + linear": a ridge regression of the classes on the overlapping words of 1 to 4 bases in the
    context, and "TF-IDF + forest": a random forest on the same for k of at most 4, from the first 10,000 examples at
    most; these two give no probabilities.

    Parameters
    ----------
    train_codes, test_codes
        Base codes of contigs, uint8.
    learn, test
        Places in them that `dnastudy.tasks.next_kmer.draw_examples` gave, int64; those to learn from in random order.
    sizes
        The k.
    context
        Bases before a place that the prediction is made from.
    ngrams
        As `fit_ngrams` makes them.
    trees
        Of the forest; 0: no forest.
    seed
        Of the forest.

    Returns
    -------
    DataFrame, a row a floor, k and test place: floor, k, example (number of the place), right (1 or 0; of "uniform"
    the chance to be), bits (of the right k-mer, NaN where the floor gives no probabilities).
    """
    import pandas as pd

    answers = {k: kmer_numbers(test_codes, test, k) for k in sizes}
    labels = {k: kmer_numbers(train_codes, learn, k) for k in sizes}
    contexts = windows(test_codes, test, context)
    features = tfidf(windows(train_codes, learn, context), contexts)
    found = {
        "uniform": ((k, np.full(len(test), 4.0**-k), np.full(len(test), 2.0 * k)) for k in sizes),
        "majority": _majority(train_codes, answers),
        **{name: _ngram(model, contexts, answers) for name, model in ngrams.items()},
        "TF-IDF + linear": _linear(*features, labels, answers),
        "TF-IDF + forest": _forest(*features, labels, answers, trees, seed),
    }
    tables = [
        pd.DataFrame({"floor": floor, "k": k, "example": np.arange(len(test)), "right": right, "bits": bits})
        for floor, scored in found.items()
        for k, right, bits in scored
    ]
    return pd.concat(tables, ignore_index=True).astype({"right": np.float32, "bits": np.float32})


def fit_ngrams(codes: np.ndarray, orders: Sequence[int]) -> dict[str, NgramModel]:
    """N-grams of contigs (uint8 codes), by name ("12-gram"), their weights fitted on the last twentieth.

    An order over 13 takes several times as long to count.
    """
    from dnastudy.models import NgramModel
    from dnastudy.models.token_windows import end_of_training

    cut = end_of_training(codes)
    learn, rest = known_runs(codes[:cut]), known_runs(codes[cut:]) + cut
    return {f"{order}-gram": NgramModel(order).fit((codes, learn), validation=(codes, rest)) for order in orders}


def _majority(codes: np.ndarray, answers: dict[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """By the counts of all k-mers of the contigs."""
    tables = count(codes, known_runs(codes), max(answers)).tables
    for k, answer in answers.items():
        counts = tables[first_place(k) : first_place(k + 1)].astype(np.int64) + 1
        yield k, answer == counts.argmax(), np.log2(counts.sum() / counts[answer])


def _ngram(
    model: NgramModel, contexts: np.ndarray, answers: dict[int, np.ndarray]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """By an n-gram model's probabilities after each context (uint8, [n, bases])."""
    right = {k: np.zeros(len(contexts), dtype=bool) for k in answers}
    bits = {k: np.zeros(len(contexts)) for k in answers}
    for part in _parts(len(contexts)):
        longest = ngram_next_kmers(model, contexts[part], max(answers))
        for k, answer in answers.items():
            nats = marginal(longest, k)
            right[k][part] = nats.argmax(axis=1) == answer[part]
            bits[k][part] = -np.take_along_axis(nats, answer[part, None], axis=1)[:, 0] / np.log(2)
    return ((k, right[k], bits[k]) for k in answers)


def tfidf(
    learn: Iterable[np.ndarray], test: Iterable[np.ndarray], words: tuple[int, int] = WORDS, most: int | None = None
):
    """TF-IDF of the words of sequences (uint8 codes each), float32 sparse matrices [n, words] of either.

    Words have as many bases as ``words`` says, at least and at most; the ``most`` commonest ones are counted.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(analyzer="char", ngram_range=words, lowercase=False, max_features=most, dtype=np.float32)
    return counter.fit_transform(map(decode, learn)), counter.transform(map(decode, test))


def _linear(
    learn, test, labels: dict[int, np.ndarray], answers: dict[int, np.ndarray]
) -> Iterator[tuple[int, np.ndarray, float]]:
    """By ridge regression of each class's indicator (as ``RidgeClassifier``), solved for thousands of classes."""
    from scipy.sparse import csr_array, hstack

    learn, test = (hstack([words, np.ones((words.shape[0], 1), np.float32)]).tocsr() for words in (learn, test))
    gram = (learn.T @ learn).toarray().astype(np.float64)
    gram.flat[: -1 : len(gram) + 1] += PENALTY  # but for the intercept's
    for k, label in labels.items():
        classes = csr_array((np.ones(len(label)), (np.arange(len(label)), label)), shape=(len(label), 4**k))
        coefficients = np.linalg.solve(gram, (learn.T @ classes).toarray())
        guesses = [(test[part] @ coefficients).argmax(axis=1) for part in _parts(test.shape[0])]
        yield k, np.concatenate(guesses) == answers[k], np.nan


def _forest(
    learn, test, labels: dict[int, np.ndarray], answers: dict[int, np.ndarray], trees: int, seed: int
) -> Iterator[tuple[int, np.ndarray, float]]:
    """By a random forest, for the k that one can be grown for in seconds."""
    from sklearn.ensemble import RandomForestClassifier

    learn, test = learn[:FOREST_EXAMPLES].toarray(), test.toarray()
    for k in (k for k in labels if k <= FOREST_K and trees):
        forest = RandomForestClassifier(trees, random_state=seed, **FOREST)
        guesses = forest.fit(learn, labels[k][:FOREST_EXAMPLES]).predict(test)
        yield k, guesses == answers[k], np.nan


def _parts(n: int) -> Iterator[slice]:
    """Slices of so many rows, few enough to be held at once."""
    return (slice(start, start + _TOGETHER) for start in range(0, n, _TOGETHER))
