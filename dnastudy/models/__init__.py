"""Causal models of DNA at single-base resolution: build, train, score, generate, save and load."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "CopyModel": "copying",
        "CorpusSource": "windows",
        "NgramModel": "ngram",
        "RecurrentModel": "recurrent",
        "Transformer": "transformer",
        "TrainingConfig": "training",
        "build": "store",
        "load": "store",
        "save": "store",
        "train": "training",
        "train_from_config": "training",
    },
)
