"""Models of DNA, causal ones of single bases and BERT of tokens: build, train, score, generate, save and load."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "Bert": "bert",
        "CopyModel": "copying",
        "CorpusSource": "windows",
        "MaskedSource": "masked",
        "NgramModel": "ngram",
        "RecurrentModel": "recurrent",
        "Transformer": "transformer",
        "TrainingConfig": "training",
        "build": "store",
        "export_to_transformers": "hub",
        "load": "store",
        "save": "store",
        "train": "training",
        "train_from_config": "training",
    },
)
