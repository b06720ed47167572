"""A linear probe: what a regression can read off the vectors that a frozen model makes of sequences."""

from __future__ import annotations

import numpy as np

from dnastudy.files import InputError

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1)  # inverse of the penalty on squared weights, scikit-learn's C
STRENGTH = 1e-1  # where nothing is given to choose by


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

    Parameters
    ----------
    train, test
        Vectors to learn from and to judge, float [n, width].
    labels
        Class of each vector to learn from, int [n].
    classes
        How many there are; one that isn't in ``labels`` has probability 0.
    validation
        Vectors and labels by whose log-likelihood the penalty is chosen; None: a middling one is taken.

    Returns
    -------
    float64 [n, classes].

    Raises
    ------
    InputError
        When there are fewer than two classes among the labels, or a vector isn't finite.
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
