"""From files of sequence and annotation to a corpus of coded genes."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "Annotation": "annotation",
        "Corpus": "corpus",
        "SPLITS": "corpus",
        "canonical_contig": "fasta",
        "decode": "fasta",
        "encode": "fasta",
        "extract_genes": "extract",
        "fetch": "manifest",
        "leakage": "split",
        "list_manifests": "manifest",
        "load_sequences": "sequences",
        "m5": "fasta",
        "read_annotation": "annotation",
        "read_fasta": "fasta",
        "reverse_complement": "fasta",
        "shared_bases": "split",
        "whole_genes": "corpus",
        "windows": "corpus",
        "write_fasta": "fasta",
    },
)
