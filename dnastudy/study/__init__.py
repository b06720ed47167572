"""The study itself: validated parameters, records of what ran, intervals and figures."""

import warnings

from dnastudy import lazy

# A library of ours looks for Jupyter's widgets, which a rendered book couldn't show anyway.
warnings.filterwarnings("ignore", message="IProgress not found")

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
