"""``robustbench-fl``: the group of commands, and what becomes of errors."""

from __future__ import annotations

import gc
import sys
import traceback
import warnings
from typing import Any, TextIO

import click

from robustbench_fl.cli.aggregating import aggregate
from robustbench_fl.cli.answers import UNTRUSTED
from robustbench_fl.cli.catalogue import describe, list_
from robustbench_fl.cli.checking import check
from robustbench_fl.cli.claims import check_claim, claim
from robustbench_fl.cli.comparing import badge, compare
from robustbench_fl.cli.data import data
from robustbench_fl.cli.env import env, version_text
from robustbench_fl.cli.figures import figures
from robustbench_fl.cli.output import error_text, warning_text
from robustbench_fl.cli.partitioning import partition
from robustbench_fl.cli.piloting import pilot
from robustbench_fl.cli.recommending import recommend
from robustbench_fl.cli.recovering import recover
from robustbench_fl.cli.report import report
from robustbench_fl.cli.results import pack, show, tables, unpack
from robustbench_fl.cli.saying import forget_output, lost_output, open_streams
from robustbench_fl.cli.status import status
from robustbench_fl.cli.suite import suite
from robustbench_fl.cli.sweeping import plan, sweep
from robustbench_fl.cli.tabling import attacks, costs, detection, leaderboard, matrix
from robustbench_fl.cli.testing import differences, significance
from robustbench_fl.cli.upkeep import clean, failures, merge, verify
from robustbench_fl.core.errors import RobustbenchError, UsageError
from robustbench_fl.core.foreign import on_terminal
from robustbench_fl.core.later import load_later
from robustbench_fl.core.refusals import refusal
from robustbench_fl.core.version import __version__

EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INTERNAL, EXIT_INTERRUPTED = 1, 2, 3, 130


def _show_version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        click.echo(f"robustbench-fl {__version__} ({version_text()})")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
              help="Show the version and what it runs on, and exit.")  # fmt: skip
def cli() -> None:
    """Compare robust aggregators in federated learning.

    A sweep simulates every combination of aggregator, attack, degree of non-IID and share of
    malicious clients once per seed, stores each, and turns them into leaderboards and matrices.

    \b
    robustbench-fl sweep -a mean,median,krum,fedredefense -t none,alie,min_max --alpha 0.1,1 -f 0.3
    robustbench-fl leaderboard results/sweep
    """


for command in (
    sweep, pilot, plan, suite, status, leaderboard, matrix, attacks, costs, detection, differences,
    significance, compare, badge, recommend, show, failures, tables, report, figures, claim, check_claim,
    merge, verify, recover, clean, pack, unpack, list_, describe, check, data, partition, aggregate, env,
):  # fmt: skip
    cli.add_command(command)


@cli.result_callback()
def _exit_code(code: Any) -> Any:
    """Return the exit code: 1 too where what was shown leaves out records that cannot be trusted."""
    return code or (EXIT_SOME_FAILED if click.get_current_context().meta.get(UNTRUSTED) else 0)


class _Escaping:
    """Standard error for what click says: it repeats words that it was given."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(on_terminal(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _unforeseen(error: Exception) -> int:
    """Say what ended a command and return the exit code; the system's refusal is no fault of this program."""
    if refused := refusal(error):
        click.echo(error_text(f"Error: {on_terminal(str(refused))}"), err=True)
        return EXIT_SOME_FAILED
    traceback.print_exc()
    click.echo("Internal error in robustbench-fl. Please report it with the lines above.", err=True)
    return EXIT_INTERNAL


def main() -> None:
    """Run the command line and exit: 0 done, 1 some cells failed, 2 usage, 3 internal error."""
    open_streams()
    load_later("torch")
    warnings.formatwarning = lambda said, *at, **more: warning_text(f"Warning: {on_terminal(str(said))}\n")
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show(_Escaping(sys.stderr))  # type: ignore[arg-type]
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        forget_output(sys.stdout)
        code = 0
    except RobustbenchError as error:
        click.echo(error_text(f"Error: {on_terminal(str(error))}"), err=True)
        code = EXIT_USAGE if isinstance(error, UsageError) else EXIT_SOME_FAILED
    except Exception as error:
        code = _unforeseen(error)
    if why := lost_output():
        click.echo(error_text(f"Error: Cannot write the output: {why}. Stored cells are kept."), err=True)
        code = code or EXIT_SOME_FAILED
    gc.freeze()  # the process ends: looking for garbage in all that was imported takes a tenth of a second
    sys.exit(code if isinstance(code, int) else 0)
