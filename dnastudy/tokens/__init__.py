"""Sequence to tokens and back: single bases, k-mers, byte-pair encoding."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "Tokenizer": "tokenizer",
        "single_base": "tokenizer",
        "KmerTokenizer": "kmer",
        "OverlappingKmerTokenizer": "kmer",
        "train_bpe": "bpe",
        "token_statistics": "statistics",
        "bases_per_token": "statistics",
    },
)
