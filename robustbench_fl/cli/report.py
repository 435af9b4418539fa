"""``report``: one page that holds a whole sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_fl.cli.options import PATH, folder_argument, missing_option
from robustbench_fl.cli.saying import say
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.analysis.coverage import Missing


@click.command()
@folder_argument
@click.option(
    "-o",
    "--out",
    type=PATH,
    metavar="FILE",
    help="The file to write.  [default: DIR/report.html]",
)
@click.option(
    "--watch", is_flag=True, help="Serve the page on 127.0.0.1 and make it anew while the sweep runs."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N",
              help="With --watch: where to serve.  [default: any free port]")  # fmt: skip
@missing_option
def report(folder: Path, out: Path | None, watch: bool, port: int, missing: Missing) -> None:
    """Write one self-contained page: leaderboard, matrix, and every cell with its curves.

    Its tables sort and filter. It needs no network and no server: open it in a browser, attach it to a
    message, or put it on any web site.

    With --watch this machine's browsers see it grow until Ctrl-C; nobody else can reach it.
    """
    from robustbench_fl.report.page.write import NAME

    path = out or folder / NAME
    if path.is_dir():
        raise UsageError(f"--out must name a file, but {str(path)!r} is a folder. Try {str(path / NAME)!r}.")
    if port and not watch:
        raise UsageError("--port is for --watch.")
    if watch:
        _serve(folder, path, missing, port)
    else:
        size = _write(folder, path, missing)
        say(f"{path}  ({size / 1e6:.2g} MB; open it in a browser)")


def _write(folder: Path, path: Path, missing: Missing) -> int:
    """Write the page, and return its size in bytes."""
    from robustbench_fl.cli.results import command_of
    from robustbench_fl.cli.tabling import records_of
    from robustbench_fl.report.page.write import write_page
    from robustbench_fl.sweep.replan import existing

    sweep = existing(folder).read_sweep() or {}
    name = str(sweep.get("name") or folder.resolve().name)
    return write_page(records_of(folder), path, name, command_of, missing)


def _serve(folder: Path, path: Path, missing: Missing, port: int) -> None:
    from robustbench_fl.core.status import MISSING
    from robustbench_fl.report.page.serving import HOST, Live, server
    from robustbench_fl.sweep.replan import existing

    def make() -> tuple[bytes, bool]:
        _write(folder, path, missing)
        final = all(row["status"] != MISSING for row in existing(folder).summaries())
        return path.read_bytes(), final

    live = Live(lambda: existing(folder).fingerprint(), make)
    live.fingerprint()  # a folder without a sweep is said before anything is served
    try:
        serving = server(live, port)
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be served: {error.strerror}. Leave --port out for a free one."
        ) from None
    with serving:
        say(f"http://{HOST}:{serving.server_address[1]}/  (until Ctrl-C)")
        sys.stdout.flush()
        serving.serve_forever()
