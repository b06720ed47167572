"""Run the command line: ``python -m dnastudy``."""

import sys

from dnastudy.cli import main

sys.exit(main())
