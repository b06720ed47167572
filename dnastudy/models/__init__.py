"""Models of DNA, causal ones of single bases and BERT of tokens: build, train, score, generate, save and load."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "Bert": "bert",
        "CausalModel": "base",
        "CopyModel": "copy_model",
        "CorpusSource": "batches",
        "MaskedSource": "batches",
        "NgramModel": "ngram",
        "RecurrentModel": "recurrent",
        "TrainingConfig": "settings",
        "Transformer": "transformer",
        "build": "store",
        "export_to_transformers": "hub",
        "load": "store",
        "save": "store",
        "train": "training",
        "train_from_config": "training",
    },
)
