"""Sequence to tokens and back: single bases, k-mers, byte-pair encoding."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "Tokenizer": "tokenizer",
        "single_base": "tokenizer",
        "KmerTokenizer": "kmer",
        "train_bpe": "bpe",
        "token_statistics": "bpe",
        "bases_per_token": "bpe",
    },
)
