"""The live page: this machine alone, one address, new when the folder is."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator

import pytest

from robustbench_fl.report.page.serving import Live, server


@pytest.fixture
def state() -> dict[str, str]:
    return {"now": "one"}


@pytest.fixture
def port(state: dict[str, str]) -> Iterator[int]:
    def make() -> tuple[bytes, bool]:
        if state["now"] == "broken":
            raise ValueError("no <cell> yet")
        return state["now"].encode(), state["now"] == "final"

    made = server(Live(lambda: state["now"], make))
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    assert made.server_address[0] == "127.0.0.1"
    yield made.server_address[1]
    made.shutdown()
    made.server_close()


def get(
    port: int, path: str = "/", host: str | None = None, method: str = "GET"
) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.getheader("Refresh")
    connection.close()
    return found


def test_the_page_is_new_when_the_folder_is_and_rests_in_the_end(port: int, state: dict[str, str]) -> None:
    assert get(port) == (200, b"one", "5")
    state["now"] = "two"
    assert get(port, host=f"localhost:{port}") == (200, b"two", "5")
    state["now"] = "broken"
    assert get(port) == (200, b"<p>no &lt;cell&gt; yet</p>", "5")
    state["now"] = "final"
    assert get(port) == (200, b"final", None)


@pytest.mark.parametrize("path", ["/../sweep.toml", "/cells/a.json", "/?x", "/%2e%2e/etc/passwd", "*"])
def test_there_is_one_page(port: int, path: str) -> None:
    assert get(port, path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost:80", "[::1]:80"])
def test_requests_under_another_name_are_refused(port: int, host: str) -> None:
    assert get(port, host=host)[0] == 403


def test_nothing_but_get_is_answered(port: int) -> None:
    assert get(port, method="POST")[0] == 501
