"""Sequence to tokens and back: single bases, k-mers, byte-pair encoding."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "KmerTokenizer": "tokenizer",
        "Tokenizer": "tokenizer",
        "bases_per_token": "statistics",
        "single_base": "tokenizer",
        "token_statistics": "statistics",
        "train_bpe": "bpe",
    },
)
