"""What the study asks of a model: likelihood, mutations, generated sequence, and the floors under them."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "bits_per_base": "likelihood",
        "score_windows": "likelihood",
        "mutate": "pairs",
        "make_pairs": "pairs",
        "make_published_pairs": "pairs",
        "make_variant_pairs": "pairs",
        "read_pairs": "pairs",
        "discriminate": "mutation",
        "compare": "generated",
        "PROPERTIES": "generated",
        "longest_copies": "copies",
        "judge": "mutation",
        "judge_pairs": "mutation",
        "score_pairs": "mutation",
        "strata_of_places": "mutation",
        "English": "hunger",
        "Genes": "hunger",
        "read_curves": "hunger",
        "sweep": "hunger",
        "fetch_text": "text",
        "read_text": "text",
        "Uniform": "floors",
        "fit_floors": "floors",
        "PUBLISHED_PERPLEXITY": "published",
        "PUBLISHED_ACCURACY": "published",
        "fit_published": "published",
        "published_name": "published",
        "score_protocol": "published",
    },
)
