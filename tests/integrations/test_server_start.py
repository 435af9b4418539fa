"""What no server can be is refused before its first round."""

from __future__ import annotations

from typing import Any

import pytest

from robustbench_fl import Server
from robustbench_fl.core.errors import UsageError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_clients": -1}, r"n_clients is the number of clients of a round, 1 or more; got -1\."),
        ({"n_clients": 0}, "got 0"),
        ({"n_clients": 2.5}, "got 2.5"),
        ({"n_clients": True}, "got True"),
        ({"f": -1}, "f is the number of clients assumed malicious, 0 or more; got -1"),
        ({"rule": None}, r"rule must be a text such as 'krum' or 'nnm > median'; got None\."),
        ({"rule": b"krum"}, "got b'krum'"),
        ({"device": "cuda:99"}, "device='cuda:99' is none that PyTorch can use here: "),
        ({"device": "gpu"}, "device='gpu' is none that PyTorch can use here: "),
        ({"device": 1.5}, "device=1.5 is none that"),
    ],
)
def test_what_no_server_can_be_is_refused_at_its_start(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Server(**{"rule": "median", **given})
