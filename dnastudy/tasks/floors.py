"""What a model must beat: no knowledge at all, short words, long words, and copying."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from dnastudy.files import InputError
from dnastudy.genes.codes import coded, decode, kmers_at, known_bases
from dnastudy.models.counts import count, first_place
from dnastudy.models.neural import pick_device
from dnastudy.models.ngram import NgramModel
from dnastudy.models.token_bits import marginal, ngram_next_kmers
from dnastudy.tasks.discriminator import kmer_shares, one_hot, train_cnn
from dnastudy.tasks.next_kmer import known_runs, windows

if TYPE_CHECKING:
    import pandas as pd

    from dnastudy.genes import Corpus
    from dnastudy.models import CopyModel, NgramModel


NAMES = re.compile(r"uniform|copy|(Laplace )?\d+-gram")  # no model of other kinds may have one of these
KMER_WORDS = (1, 4)  # bases of the shortest and the longest words of the context that TF-IDF counts
PENALTY = 1.0  # on the squared coefficients of the linear model
FOREST = {"max_depth": 12, "n_jobs": 1}
FOREST_EXAMPLES = 10_000  # at most; a tree's time goes with examples times classes,
FOREST_K = 4  # so that no forest is grown for longer k-mers
_WINDOWS_AT_ONCE = 4096  # examples whose probabilities of all k-mers are held at once
WORDS = (3, 6)  # bases of the shortest and the longest words that TF-IDF counts,
MOST_WORDS = 4096  # and how many of them, the commonest
NEAR = 60  # bases about a site that the positional floor looks at
CLASS_ORDER = 6  # the most that n-grams of a class, of which there are few examples, have
# On squared coefficients: little where rows are of length one, much where there are places by the hundred.
WORD_PENALTY, PLACE_PENALTY = 0.1, 100.0
_TOGETHER = 1024  # sequences that a CNN is applied to at once
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1)  # inverse of the penalty on squared weights, scikit-learn's C
STRENGTH = 1e-1  # where nothing is given to choose by


def fit_floors(corpus: Corpus, orders: Iterable[int], *, copy: bool = False) -> dict[str, NgramModel | CopyModel]:
    """Fit n-grams of the given orders on the training genes, weights on the validation genes; by name ("4-gram").

    With ``copy`` the longest-match predictor ("copy") stands among them: what remembering alone is worth.
    """
    from dnastudy.models import NgramModel
    from dnastudy.models.copy_model import CopyModel

    train, validation = ((corpus.all_codes, corpus.spans(split)) for split in ("train", "validation"))
    floors = {f"{order}-gram": NgramModel(order).fit(train, validation=validation) for order in orders}
    return floors | ({"copy": CopyModel().fit(train, validation=validation)} if copy else {})


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
    """
    import pandas as pd

    answers = {k: kmers_at(test_codes, test, k) for k in sizes}
    labels = {k: kmers_at(train_codes, learn, k) for k in sizes}
    contexts = windows(test_codes, test, context)
    features = tfidf(windows(train_codes, learn, context), contexts)
    found = {
        "uniform": ((k, np.full(len(test), 4.0**-k), np.full(len(test), 2.0 * k)) for k in sizes),
        "majority": _majority(train_codes, answers),
        **{name: _ngram(model, contexts, answers) for name, model in ngrams.items()},
        "TF-IDF + linear": _kmer_linear(*features, labels, answers),
        "TF-IDF + forest": _kmer_forest(*features, labels, answers, trees, seed),
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
    from dnastudy.models.batches import end_of_training

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
    learn: Iterable[np.ndarray],
    test: Iterable[np.ndarray],
    words: tuple[int, int] = KMER_WORDS,
    most: int | None = None,
):
    """TF-IDF of the words of sequences (uint8 codes each), float32 sparse matrices [n, words] of either.

    Words have as many bases as ``words`` says, at least and at most; the ``most`` commonest ones are counted.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(analyzer="char", ngram_range=words, lowercase=False, max_features=most, dtype=np.float32)
    return counter.fit_transform(map(decode, learn)), counter.transform(map(decode, test))


def _kmer_linear(
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


def _kmer_forest(
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
    return (slice(start, start + _WINDOWS_AT_ONCE) for start in range(0, n, _WINDOWS_AT_ONCE))


def label_floors(
    train_codes: Sequence[np.ndarray],
    train_labels: np.ndarray,
    test_codes: Sequence[np.ndarray],
    *,
    classes: int,
    centre: int | None = None,
    seeds: Sequence[int] = (0,),
    trees: int = 100,
    epochs: int = 20,
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({}),
    device: str | None = None,
) -> dict[str, np.ndarray]:
    """Tell sequences apart by what is simple.

    "majority": shares of the classes. "GC": logistic regression on the share of G and C, its square and the length.
    "composition": on shares of dinucleotides. "TF-IDF + linear": on the words of 3 to 6 bases, and "TF-IDF + forest":
    a random forest on the same, grown on 10,000 examples at most. "CNN": that of `dnastudy.tasks.discriminator`.
    "positional": on the base at each of the 60 places about ``centre``, a weight matrix, if all sequences have one
    length. And on each of ``scores``.
    """
    labels = np.asarray(train_labels)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    if not shares.all():
        empty = int(np.argmin(shares))
        raise InputError(f"no training sequence of class {empty} of {classes}; expected one at least of each class")
    both = train_codes, test_codes
    found = {"majority": np.tile(shares, (len(test_codes), 1))[None]}
    found["GC"] = _standardised(labels, *map(_gc_and_length, both))[None]
    found["composition"] = _standardised(labels, *(kmer_shares(codes, 2) for codes in both))[None]
    words = tfidf(*both, WORDS, MOST_WORDS)
    found["TF-IDF + linear"] = _linear(labels, *words, penalty=WORD_PENALTY)[None]
    if trees:
        found["TF-IDF + forest"] = _forest(labels, *words, trees, seeds)
    if epochs:
        found["CNN"] = _cnn(labels, *both, classes, epochs, seeds, device)
    if centre is not None and len({len(codes) for part in both for codes in part}) == 1:
        near = (_bases_about(centre, codes) for codes in both)
        found["positional"] = _standardised(labels, *near, penalty=PLACE_PENALTY)[None]
    for name, values in scores.items():
        found[name] = by_score(labels, *values)[None]
    return found


def by_score(labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Class probabilities from one number a sequence, by a logistic fit: float64 [n test, classes]."""
    columns = [np.asarray(values, dtype=np.float64)[:, None] for values in (train, test)]
    for name, column in zip(("training", "test"), columns, strict=True):
        if not (known := np.isfinite(column[:, 0])).all():
            row = int(np.argmin(known))
            raise InputError(f"score of {name} sequence {row} is {column[row, 0]}; expected a finite number for each")
    return _standardised(labels, *columns)


def class_ngrams(
    train_codes: Sequence[np.ndarray],
    train_labels: np.ndarray,
    test_codes: Sequence[np.ndarray],
    *,
    classes: int,
    order: int = CLASS_ORDER,
    reverse_complement: bool = False,
    validation: tuple[Sequence[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Class probabilities by an n-gram model of each class and Bayes' rule: what fine-tuning is for n-grams."""
    labels = np.asarray(train_labels)
    logits = np.empty((len(test_codes), classes))
    for one in range(classes):
        held_out = None
        if validation is not None:
            held_out = _of_class(*validation, one)
        model = NgramModel(order, reverse_complement=reverse_complement)
        model.fit(_of_class(train_codes, labels, one), validation=held_out)
        logits[:, one] = model.log_likelihood(test_codes) + np.log(np.mean(labels == one))
    return torch.from_numpy(logits).softmax(1).numpy()


def _of_class(codes: Sequence[np.ndarray], labels: np.ndarray, one: int) -> list[np.ndarray]:
    return [codes[row] for row in np.flatnonzero(np.asarray(labels) == one)]


def _gc_and_length(codes: Sequence[np.ndarray]) -> np.ndarray:
    """Share of G and C, its square, and length: float64 [n, 3]."""
    gc = kmer_shares(codes, 1)[:, 1:3].sum(axis=1)
    return np.stack([gc, gc**2, [len(one) for one in codes]], axis=1)


def _bases_about(centre: int, codes: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each of 60 places, as many before ``centre`` as from it on, has each base: float64 [n, 4 x places]."""
    near = np.stack(codes)[:, max(0, centre - NEAR // 2) : centre + NEAR // 2]
    return (near[..., None] == np.arange(4)).reshape(len(near), -1).astype(np.float64)


def _standardised(labels: np.ndarray, train: np.ndarray, test: np.ndarray, *, penalty: float = 1.0) -> np.ndarray:
    """Logistic regression on features of like scale: probabilities, float64 [n test, classes]."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    return _linear(labels, scaler.transform(train), scaler.transform(test), penalty=penalty)


def _linear(labels: np.ndarray, train, test, *, penalty: float = 1.0) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / penalty, max_iter=1000).fit(train, labels).predict_proba(test)


def _forest(labels: np.ndarray, train, test, trees: int, seeds: Sequence[int]) -> np.ndarray:
    """A run a seed, grown on examples of its own where there are more than are taken."""
    from sklearn.ensemble import RandomForestClassifier

    test = test.toarray()
    runs = []
    for seed in seeds:
        chosen = np.random.default_rng(seed).permutation(len(labels))[:FOREST_EXAMPLES]
        forest = RandomForestClassifier(trees, random_state=seed, **FOREST)
        runs.append(forest.fit(train[chosen].toarray(), labels[chosen]).predict_proba(test))
    return np.stack(runs)


def _cnn(
    labels: np.ndarray,
    train_codes: Sequence[np.ndarray],
    test_codes: Sequence[np.ndarray],
    classes: int,
    epochs: int,
    seeds: Sequence[int],
    device: str | None,
) -> np.ndarray:
    where = pick_device(device)
    inputs, test = one_hot(train_codes).to(where), one_hot(test_codes)
    targets = torch.from_numpy(labels.astype(np.int64)).to(where)
    runs = []
    for seed in seeds:
        network = train_cnn(inputs, targets, torch.arange(len(labels)), epochs, seed, scores=classes)
        with torch.inference_mode():
            logits = torch.cat([network(some.to(where)) for some in test.split(_TOGETHER)])
        runs.append(logits.double().softmax(1).cpu().numpy())
    return np.stack(runs)


def probe(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    *,
    classes: int,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Probabilities of the classes by multinomial logistic regression on standardised vectors.

    Mean and standard deviation are those of the vectors to learn from; classes weigh as their sequences do. Nothing is
    drawn at random.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.asarray(labels)
    known = np.unique(labels)
    if len(known) < 2:
        raise InputError(f"{len(known)} class among {len(labels):,} labels to learn from; expected two or more")
    for what, vectors in {"to learn from": train, "to judge": test}.items():
        if not np.isfinite(vectors).all():
            raise InputError(f"vectors {what}: some values aren't finite; an n-gram model needs smoothing")

    def fit(strength: float):
        regression = LogisticRegression(C=strength, max_iter=1000)
        return make_pipeline(StandardScaler(), regression).fit(np.asarray(train, dtype=np.float64), labels)

    if validation is None:
        best = fit(STRENGTH)
    else:
        vectors, wanted = np.asarray(validation[0], dtype=np.float64), np.asarray(validation[1])
        seen = np.isin(wanted, known)
        fits = [fit(strength) for strength in STRENGTHS]
        best = min(fits, key=lambda one: log_loss(wanted[seen], one.predict_proba(vectors[seen]), labels=known))
    found = np.zeros((len(test), classes))
    found[:, known] = best.predict_proba(np.asarray(test, dtype=np.float64))
    return found
