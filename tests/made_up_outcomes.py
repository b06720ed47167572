"""Outcomes on label sets, made up so that every figure is known."""

import numpy as np
import pandas as pd

from dnastudy.chapters.label_regulatory_sequence import Outcome
from dnastudy.tasks.label_sets import LabelSet

LABELS = [0, 1, 0, 1, 0, 1, 0, 1]
EMPTY = pd.DataFrame(columns=["predictor", "use", "example", "score"])


def label_set(name, classes=("no", "yes"), labels=LABELS):
    train = pd.DataFrame({"label": range(len(classes)), "split": "train", "group": 0, "shared": False})
    test = pd.DataFrame({"label": labels, "split": "test", "group": np.arange(len(labels)), "shared": False})
    test.loc[0, "shared"] = True
    table = pd.concat([train, test], ignore_index=True).assign(contig="chr22", strand="+")
    starts = [0] * len(classes) + [0, 500, 1000, 5000, 5500, 9000, 9500, 10_000][: len(labels)]
    table = table.assign(start=starts, end=np.array(starts) + 1000)
    return LabelSet(name, table, [np.zeros(4, np.uint8)] * len(table), classes, {})


def two_blocks(labels):
    """The same, the first four and the last four test rows drawn together."""
    return labels._replace(table=labels.table.assign(group=[0] * (len(labels.table) - 4) + [1] * 4))


def predictions(predictor, use, chances, strands=("one", "both"), seeds=(0,)):
    return pd.concat(
        pd.DataFrame(
            {
                "predictor": predictor,
                "use": use,
                "seed": seed,
                "strands": each,
                "example": np.arange(len(chances)),
                "p0": 1 - np.array(chances),
                "p1": chances,
            }
        )
        for each in strands
        for seed in seeds
    )


def outcome(*tables, kind="bert", scores=EMPTY):
    return Outcome({"kind": kind, "seconds": 1.0}, pd.concat(tables, ignore_index=True), scores)


RIGHT = [0.1, 0.9, 0.2, 0.8, 0.1, 0.9, 0.2, 0.8]
HALF = [0.1, 0.9, 0.2, 0.8, 0.9, 0.1, 0.8, 0.2]  # the first block right, the second wrong
WRONG = [0.9, 0.1, 0.8, 0.2] * 2


def two_tasks():
    """Label sets and outcomes of a model and two floors on each."""
    sets = {"Prom300, tokens": label_set("Prom300")._replace(negatives="tokens"), "PromScan": label_set("PromScan")}
    scores = pd.DataFrame(
        {"predictor": "ours", "use": "occlusion", "example": range(8), "score": [1, 4, 2, 5, 3, 6, 0, 1]}
    )
    model = outcome(
        predictions("ours", "fine-tuned", RIGHT, seeds=(0, 1)), predictions("ours", "probe", HALF), scores=scores
    )
    floor = outcome(
        predictions("GC", "floor", HALF, ("one",)),
        predictions("TF-IDF + forest", "floor", [0.5, 0.6] * 4, ("one",)),
        kind=None,
    )
    return sets, {(task, name): one for task in sets for name, one in (("floors", floor), ("ours", model))}
