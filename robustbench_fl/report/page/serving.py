"""Serves a sweep's page on this machine alone, made anew while the sweep runs."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

HOST = "127.0.0.1"
SECONDS = 5
"""After so many seconds a browser asks again, as long as cells are missing."""


class Live:
    """A page that is made anew when what it shows has changed.

    Parameters
    ----------
    fingerprint : callable
        Returns a text that changes whenever the folder does.
    make : callable
        Returns the page, and whether it is final.
    """

    def __init__(self, fingerprint: Callable[[], str], make: Callable[[], tuple[bytes, bool]]) -> None:
        self.fingerprint, self._make = fingerprint, make
        self._lock = Lock()
        self._seen: str | None = None
        self._page: tuple[bytes, bool] = (b"", False)

    def page(self) -> tuple[bytes, bool]:
        """Return the page as of now, and whether nothing will be added."""
        with self._lock:
            now = self.fingerprint()
            if now != self._seen:
                self._page, self._seen = self._make(), now
            return self._page


def server(live: Live, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of one page at ``/``; nothing else is answered, and nobody else than this machine.

    A request must name this machine as its host, so that a page from elsewhere that a browser has open
    cannot read this one under a name of its own.

    Raises
    ------
    OSError
        If the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "robustbench-fl", ""

        def do_GET(self) -> None:
            """Answer with the page."""
            here = made.server_port
            if self.headers.get("Host") not in (f"{HOST}:{here}", f"localhost:{here}"):
                self._say(403, b"Open the address that the command printed.")
            elif self.path != "/":
                self._say(404, b"There is one page: /")
            else:
                try:
                    page, final = live.page()
                except Exception as error:  # said on the page: the server goes on
                    self._say(200, f"<p>{escape(str(error))}</p>".encode(), again=True)
                else:
                    self._say(200, page, again=not final)

        def _say(self, status: int, body: bytes, again: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"text/{'html' if status == 200 else 'plain'}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("X-Frame-Options", "DENY")
            if again:
                self.send_header("Refresh", str(SECONDS))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    made = ThreadingHTTPServer((HOST, port), Handler)
    return made
