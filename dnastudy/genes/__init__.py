"""From files of sequence and annotation to a corpus of coded genes."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "Annotation": "annotation",
        "Corpus": "corpus",
        "SPLITS": "corpus",
        "canonical_contig": "fasta",
        "coverage": "split",
        "decode": "fasta",
        "encode": "fasta",
        "extract_genes": "extract",
        "fetch": "manifest",
        "find_families": "families",
        "leakage": "split",
        "list_manifests": "manifest",
        "load_manifest": "manifest",
        "load_sequences": "sequences",
        "m5": "fasta",
        "place_variants": "variants",
        "read_annotation": "annotation",
        "read_contigs": "contigs",
        "read_fasta": "fasta",
        "read_variants": "variants",
        "reverse_complement": "fasta",
        "shared_bases": "split",
        "whole_genes": "corpus",
        "windows": "corpus",
        "write_fasta": "fasta",
    },
)
