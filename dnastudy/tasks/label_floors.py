"""What a classifier of sequences must beat: shares, composition, words, a small CNN, a position matrix, n-grams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch

from dnastudy.files import InputError
from dnastudy.models.neural import pick_device
from dnastudy.models.ngram import NgramModel
from dnastudy.tasks.discriminator import kmer_shares, one_hot, train_cnn
from dnastudy.tasks.kmer_floors import FOREST, FOREST_EXAMPLES, tfidf

WORDS = (3, 6)  # bases of the shortest and the longest words that TF-IDF counts,
MOST_WORDS = 4096  # and how many of them, the commonest
NEAR = 60  # bases about a site that the positional floor looks at
CLASS_ORDER = 6  # the most that n-grams of a class, of which there are few examples, have
# On squared coefficients: little where rows are of length one, much where there are places by the hundred.
WORD_PENALTY, PLACE_PENALTY = 0.1, 100.0
_TOGETHER = 1024  # sequences that a CNN is applied to at once


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

    Parameters
    ----------
    train_codes, test_codes
        Base codes, uint8 [bases] each, on the strand that counts.
    train_labels
        Classes of the former, int [n], from 0.
    classes
        How many there are.
    centre
        Bases left of the place in each sequence where a site is looked for; None: there is no such place, and no
        positional floor.
    seeds
        Of the forest and of the CNN.
    trees, epochs
        Of the forest, and how often the CNN sees each example; 0: none.
    scores
        One number for each training and each test sequence (float [n] each), by name: the best match of a motif.
    device
        Where the CNN is trained; None: CUDA if there is one, else the CPU.

    Returns
    -------
    Probabilities by name, float64 [runs, n, classes]: a run a seed, or a single one where nothing is drawn.

    Raises
    ------
    InputError
        When a class has no training sequence, or a score isn't finite.
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
    """Class probabilities from one number a sequence, by a logistic fit: float64 [n test, classes].

    Raises
    ------
    InputError
        When a score isn't finite.
    """
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
    """Class probabilities by an n-gram model of each class and Bayes' rule: what fine-tuning is for n-grams.

    Parameters
    ----------
    train_codes, train_labels, test_codes, classes
        As in `label_floors`.
    order, reverse_complement
        Of the interpolated models, and whether they count both strands.
    validation
        Sequences and labels by which each class's weights are fitted; None: they are as they come.

    Returns
    -------
    float64 [n test, classes]. What the bases say is added up as if they were independent given those before, so that
    the probabilities are too sure of themselves.
    """
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
