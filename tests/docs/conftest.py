"""Scripts of pages import what they share from their own folder, as they do when they are run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "docs"))
