"""The study itself: validated parameters, records of what ran, intervals and figures."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "start": "record",
        "load_record": "record",
        "load_profile": "parameters",
        "declared_parameters": "parameters",
        "language_model": "parameters",
        "ratio_bootstrap": "statistics",
        "mean_bootstrap": "statistics",
    },
)
