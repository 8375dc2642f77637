"""``python -m surprise_autorec``."""

from surprise_autorec.cli import app

app(prog_name="python -m surprise_autorec")
