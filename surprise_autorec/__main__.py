"""``python -m surprise_autorec``."""

from surprise_autorec.cli import main

main("python -m surprise_autorec")
