"""The study itself: validated parameters, records of what ran, intervals and figures."""

from dnastudy import lazy

__getattr__ = lazy(
    __name__,
    {
        "declared_parameters": "parameters",
        "language_model": "parameters",
        "load_profile": "parameters",
        "load_record": "record",
        "mean_bootstrap": "statistics",
        "ratio_bootstrap": "statistics",
        "start": "record",
    },
)
