"""``env`` and ``--version`` say what an installation is."""

from __future__ import annotations

import json
import subprocess
import sys

from click.testing import CliRunner

from robustbench_fl.cli.main import cli
from robustbench_fl.core.version import __version__


def test_env_names_versions_hardware_and_folders() -> None:
    shown = CliRunner().invoke(cli, ["env", "--format", "json"], env={"ROBUSTBENCH_FL_DATA": "/some/where"})
    facts = {row["what"]: row["value"] for row in json.loads(shown.output)}
    assert facts["robustbench-fl"] == __version__
    assert facts["data directory"] == "/some/where"
    assert facts["workers with -j auto"] >= 1
    for name in ("python", "torch", "numpy", "processor", "gpu", "cache directory"):
        assert facts[name]


def test_the_version_says_what_it_runs_on_without_importing_torch() -> None:
    script = (
        "import sys\nfrom robustbench_fl.cli.main import cli\n"
        "try:\n    cli(['--version'])\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"robustbench-fl {__version__} (")
    assert "torch" in done.stdout
