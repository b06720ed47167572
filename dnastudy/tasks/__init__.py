"""What the study asks of a model: likelihood, mutations, generated sequence, and the floors under them."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "bits_per_base": "likelihood",
        "score_windows": "likelihood",
        "mutate": "mutation",
        "make_pairs": "mutation",
        "read_pairs": "mutation",
        "discriminate": "mutation",
        "compare": "generated",
        "longest_copies": "copies",
        "judge": "mutation",
        "Uniform": "floors",
        "fit_floors": "floors",
        "PUBLISHED_PERPLEXITY": "floors",
        "PUBLISHED_ACCURACY": "floors",
    },
)
