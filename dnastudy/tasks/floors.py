"""What a model must beat: no knowledge at all, short words, long words, and copying."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN, coded, decode, kmers_at, known_bases, true_runs
from dnastudy.genes.corpus import Corpus
from dnastudy.models.batches import end_of_training
from dnastudy.models.copy_model import CopyModel
from dnastudy.models.counts import count, first_place
from dnastudy.models.ngram import NgramModel
from dnastudy.models.token_bits import marginal, ngram_next_kmers
from dnastudy.tasks.composition import kmer_shares
from dnastudy.tasks.discriminator import logistic, train_cnn
from dnastudy.tasks.next_kmer import windows

KMER_WORDS = (1, 4)  # bases of the shortest and the longest words of a context that TF-IDF counts
PENALTY = 1.0  # on the squared coefficients of the ridge regression
FOREST_EXAMPLES = 10_000  # at most; a tree's time goes with examples times classes,
FOREST_K = 4  # so that no forest is grown for longer k-mers
_WINDOWS_AT_ONCE = 4096  # examples whose probabilities of all k-mers are held at once
WORDS = (3, 6)  # bases of the shortest and the longest words of a labelled sequence,
MOST_WORDS = 4096  # and how many of them, the commonest
NEAR = 60  # bases about a site that the positional floor looks at
CLASS_ORDER = 6  # the most that n-grams of a class, of which there are few examples, have
# scikit-learn's C, the inverse of the penalty on squared coefficients: a weak penalty where rows are of length one, a
# strong one where there are places by the hundred.
WORD_STRENGTH, PLACE_STRENGTH = 10.0, 0.01
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1)  # that a probe's is chosen from
STRENGTH = 1e-1  # where nothing is given to choose by

Examples = tuple[np.ndarray, np.ndarray]  # codes of contigs, and the places in them that are asked for
Labelled = tuple[Sequence[np.ndarray], np.ndarray]  # codes of each sequence, and their labels
Answers = dict[int, np.ndarray]  # by k, the number of a k-mer: int64, [n]


def fit_floors(corpus: Corpus, orders: Iterable[int], *, copy: bool = False) -> dict[str, NgramModel | CopyModel]:
    """N-grams of some orders, weights fitted on validation, and perhaps the copy model, by name ("4-gram", "copy")."""
    train, validation = ((corpus.all_codes, corpus.spans(split)) for split in ("train", "validation"))
    floors = {f"{order}-gram": NgramModel(order).fit(train, validation=validation) for order in orders}
    return floors | ({"copy": CopyModel().fit(train, validation=validation)} if copy else {})


def fit_ngrams(codes: np.ndarray, orders: Sequence[int]) -> dict[str, NgramModel]:
    """N-grams of contigs, by name ("12-gram"), weights fitted on the last twentieth. Over order 13 it takes long."""
    cut = end_of_training(codes)
    train, rest = true_runs(codes[:cut] < UNKNOWN), true_runs(codes[cut:] < UNKNOWN) + cut
    return {f"{order}-gram": NgramModel(order).fit((codes, train), validation=(codes, rest)) for order in orders}


class Uniform:
    """Every base equally likely: two bits a base. It scores like a model; none is saved."""

    kind = "uniform"

    def __init__(self):
        self.config = {"kind": self.kind}

    def log_likelihood(self, sequences: Sequence[str | np.ndarray], *, include_end: bool = False) -> np.ndarray:
        """Nats of each sequence, float64, [n]; the end symbol is a fifth symbol, and one more to score."""
        symbols = 5 if include_end else 4
        return -np.log(symbols) * (known_bases(sequences) + include_end)

    def base_log_likelihoods(self, sequences: Sequence[str | np.ndarray]) -> list[np.ndarray]:
        """Nats of each base, float32, [length] a sequence; NaN where the base isn't A, C, G or T."""
        return [np.where(codes < 4, -np.log(4), np.nan).astype(np.float32) for codes in coded(sequences)]


def score_floors(
    train: Examples,
    test: Examples,
    *,
    sizes: Sequence[int],
    context: int = 50,
    ngrams: Mapping[str, NgramModel] = MappingProxyType({}),
    trees: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the k-mers at test places by what is simple; DataFrame: floor, k, example, right (share), bits.

    "uniform": every k-mer is as likely. "majority": shares of the k-mers in all training contigs, add-one. N-grams, by
    their names. "TF-IDF + linear" and "+ forest" (of few k-mers, from few examples): on the overlapping words of 1 to 4
    bases in the context; these two give no probabilities.
    """
    answers, labels = ({k: kmers_at(*part, k) for k in sizes} for part in (test, train))
    contexts = windows(*test, context)
    words, test_words = tfidf(windows(*train, context), contexts, KMER_WORDS)
    found = [("uniform", k, 4.0**-k, 2.0 * k) for k in sizes]
    tables = count(train[0], true_runs(train[0] < UNKNOWN), max(sizes)).tables
    for k, answer in answers.items():
        counts = tables[first_place(k) : first_place(k + 1)].astype(np.int64) + 1
        found.append(("majority", k, answer == counts.argmax(), np.log2(counts.sum() / counts[answer])))
    found += [(name, *row) for name, model in ngrams.items() for row in _ngram(model, contexts, answers)]
    guesses = _ridge(words, labels, test_words)
    found += [("TF-IDF + linear", k, guess == answers[k], np.nan) for k, guess in guesses.items()]
    some, test_words = words[:FOREST_EXAMPLES].toarray(), test_words.toarray()
    for k in sizes if trees else ():
        if k <= FOREST_K:
            probabilities = _forest(some, labels[k][:FOREST_EXAMPLES], test_words, 4**k, trees, seed)
            found.append(("TF-IDF + forest", k, probabilities.argmax(axis=1) == answers[k], np.nan))
    columns = [dict(zip(("floor", "k", "right", "bits"), row, strict=True)) for row in found]
    tables = [pd.DataFrame({"example": np.arange(len(contexts))} | its) for its in columns]
    table = pd.concat(tables, ignore_index=True)[["floor", "k", "example", "right", "bits"]]
    return table.astype({"right": np.float32, "bits": np.float32})


def _ngram(model: NgramModel, contexts: np.ndarray, answers: Answers) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each k, whether the likeliest k-mer after each context (uint8, [n, bases]) is right, and bits."""
    right = {k: np.zeros(len(contexts), dtype=bool) for k in answers}
    bits = {k: np.zeros(len(contexts)) for k in answers}
    for part in _parts(len(contexts)):
        longest = ngram_next_kmers(model, contexts[part], max(answers))
        for k, answer in answers.items():
            nats = marginal(longest, k)
            right[k][part] = nats.argmax(axis=1) == answer[part]
            bits[k][part] = -np.take_along_axis(nats, answer[part, None], axis=1)[:, 0] / np.log(2)
    return ((k, right[k], bits[k]) for k in answers)


def _ridge(train, labels: Answers, test) -> Answers:
    """Guesses by ridge regression of each class's indicator (as ``RidgeClassifier``), fit for thousands of classes."""
    from scipy.sparse import csr_array, hstack

    train, test = (hstack([words, np.ones((words.shape[0], 1), np.float32)]).tocsr() for words in (train, test))
    gram = (train.T @ train).toarray().astype(np.float64)
    gram.flat[: -1 : len(gram) + 1] += PENALTY  # but for the intercept's
    guesses = {}
    for k, label in labels.items():
        classes = csr_array((np.ones(len(label)), (np.arange(len(label)), label)), shape=(len(label), 4**k))
        coefficients = np.linalg.solve(gram, (train.T @ classes).toarray())
        guesses[k] = np.concatenate([(test[part] @ coefficients).argmax(axis=1) for part in _parts(test.shape[0])])
    return guesses


def _parts(n: int) -> Iterator[slice]:
    """Slices of so many rows, few enough to be held at once."""
    return (slice(start, start + _WINDOWS_AT_ONCE) for start in range(0, n, _WINDOWS_AT_ONCE))


def label_floors(
    train: Labelled,
    test: Sequence[np.ndarray],
    *,
    centre: int | None = None,
    seeds: Sequence[int] = (0,),
    trees: int = 100,
    epochs: int = 20,
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({}),
    device: str | None = None,
) -> dict[str, np.ndarray]:
    """Class probabilities of sequences by what is simple, by name, float64 [runs, n, classes]: a run a seed, or one.

    "majority": shares of the classes. Logistic regressions: "GC" on the share of G and C, its square and the length;
    "composition" on shares of dinucleotides; "TF-IDF + linear" on words of 3 to 6 bases; "positional" on the base at
    each of 60 places about ``centre``, where all have one length; and on each of ``scores`` (of training and test).
    "TF-IDF + forest": on the same words of 10,000 examples at most. "CNN": see `train_cnn`.
    """
    labels, both = np.asarray(train[1]), (train[0], test)
    shares = np.bincount(labels) / len(labels)
    found = {"majority": np.tile(shares, (len(test), 1))[None]}
    found["GC"] = _regress(labels, *map(_gc_and_length, both))[None]
    found["composition"] = _regress(labels, *(kmer_shares(codes, 2) for codes in both))[None]
    words = tfidf(*both, WORDS, MOST_WORDS)
    found["TF-IDF + linear"] = _regress(labels, *words, strength=WORD_STRENGTH, scaled=False)[None]
    if trees:  # a run a seed, on examples of its own where there are more than are taken
        grown, judged = words[0], words[1].toarray()
        chosen = [np.random.default_rng(seed).permutation(len(labels))[:FOREST_EXAMPLES] for seed in seeds]
        examples = ((grown[rows].toarray(), labels[rows]) for rows in chosen)
        forests = (_forest(*one, judged, len(shares), trees, seed) for one, seed in zip(examples, seeds, strict=True))
        found["TF-IDF + forest"] = np.stack(list(forests))
    if epochs:
        logits = [
            train_cnn(train[0], labels.astype(np.int64), epochs, seed, scores=len(shares), device=device)(test)
            for seed in seeds
        ]
        found["CNN"] = torch.from_numpy(np.stack(logits)).double().softmax(2).numpy()
    if centre is not None and len({len(codes) for part in both for codes in part}) == 1:
        near = (np.stack(codes)[:, max(0, centre - NEAR // 2) : centre + NEAR // 2, None] for codes in both)
        features = ((each == np.arange(4)).reshape(len(each), -1).astype(np.float64) for each in near)
        found["positional"] = _regress(labels, *features, strength=PLACE_STRENGTH)[None]
    for name, values in scores.items():
        found[name] = _regress(labels, *(np.asarray(each, dtype=np.float64)[:, None] for each in values))[None]
    return found


def _regress(labels: np.ndarray, train, test, **how) -> np.ndarray:
    """Class probabilities by logistic regression (see `logistic`) on features: float64 [n test, classes]."""
    return logistic(**how).fit(train, labels).predict_proba(test)


def class_ngrams(
    train: Labelled,
    test: Sequence[np.ndarray],
    *,
    order: int = CLASS_ORDER,
    reverse_complement: bool = False,
    validation: Labelled | None = None,
) -> np.ndarray:
    """Class probabilities by an n-gram model of each class and Bayes' rule: what fine-tuning is for n-grams."""

    def of_class(codes: Sequence[np.ndarray], labels: np.ndarray, one: int) -> list[np.ndarray]:
        return [codes[row] for row in np.flatnonzero(np.asarray(labels) == one)]

    shares = np.bincount(train[1]) / len(train[1])
    logits = np.empty((len(test), len(shares)))
    for one, share in enumerate(shares):
        model = NgramModel(order, reverse_complement=reverse_complement)
        model.fit(of_class(*train, one), validation=validation and of_class(*validation, one))
        logits[:, one] = model.log_likelihood(test) + np.log(share)
    return torch.from_numpy(logits).softmax(1).numpy()


def _gc_and_length(codes: Sequence[np.ndarray]) -> np.ndarray:
    """Share of G and C, its square, and length: float64 [n, 3]."""
    gc = kmer_shares(codes, 1)[:, 1:3].sum(axis=1)
    return np.stack([gc, gc**2, [len(one) for one in codes]], axis=1)


def tfidf(train: Iterable[np.ndarray], test: Iterable[np.ndarray], words: tuple[int, int], most: int | None = None):
    """TF-IDF of the ``most`` commonest words of training, of so many bases at least and at most, float32 [n, words]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(analyzer="char", ngram_range=words, lowercase=False, max_features=most, dtype=np.float32)
    return counter.fit_transform(map(decode, train)), counter.transform(map(decode, test))


def _forest(train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int, trees: int, seed: int) -> np.ndarray:
    """Class probabilities by a random forest, float64 [n test, classes]; none of a class that it hasn't seen."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(trees, max_depth=12, random_state=seed, n_jobs=1).fit(train, labels)
    found = np.zeros((len(test), classes))
    found[:, forest.classes_] = forest.predict_proba(test)
    return found


def probe(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, classes: int, validation: tuple | None = None
) -> np.ndarray:
    """Class probabilities, float64 [n test, classes], by logistic regression on standardised vectors.

    With vectors and labels of ``validation`` the penalty is the one that suits them best.
    """
    from sklearn.metrics import log_loss

    known = np.unique(labels := np.asarray(labels))
    if len(known) < 2:
        raise InputError(f"{len(known)} class among {len(labels):,} labels to learn from; expected two or more")
    for what, vectors in {"to learn from": train, "to judge": test}.items():
        if not np.isfinite(vectors).all():
            raise InputError(f"vectors {what}: some values aren't finite; an n-gram model needs smoothing")
    train, test = np.asarray(train, dtype=np.float64), np.asarray(test, dtype=np.float64)
    fits = [logistic(one).fit(train, labels) for one in ([STRENGTH] if validation is None else STRENGTHS)]
    best = fits[0]
    if validation is not None:
        vectors, wanted = np.asarray(validation[0], dtype=np.float64), np.asarray(validation[1])
        seen = np.isin(wanted, known)
        best = min(fits, key=lambda one: log_loss(wanted[seen], one.predict_proba(vectors[seen]), labels=known))
    found = np.zeros((len(test), classes))
    found[:, known] = best.predict_proba(test)
    return found
