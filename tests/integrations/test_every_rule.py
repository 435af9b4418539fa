"""Every rule of the catalogue at a server: with what it needs it works, without it says what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustbench_fl import Server
from robustbench_fl.api import Need, PreAggregator, make, registry
from robustbench_fl.conformance import world
from robustbench_fl.core.errors import UsageError

NAMES = [
    f"{entry.name} > median" if issubclass(entry.cls, PreAggregator) else entry.name
    for entry in registry.load_all("aggregators")
    if not entry.is_plugin and getattr(entry.cls, "baseline", None) not in ("honest", "local")
]
VARIANTS = ["mean(weighted=true)", "fedredefense(preset=fast)", "bucketing(s=2) > centered_clipping"]


def root_update(params: Any, images: Any, labels: Any) -> Any:
    return world._trained(params, images, labels)


def everything(rule: str) -> dict[str, Any]:
    """Return all that a server can be given; `f` only where the rule needs it."""
    given = {
        "model": world.network(),
        "params": world.history()[0].params,
        "root": world.root_data(),
        "recipe": root_update,
    }
    return given | ({"f": 2} if Need.F in make("aggregators", rule).needs else {})


def asked(server: Server, round: int) -> Any:
    """Return the aggregate of one round of the world; its clients are called by texts."""
    outcome = server.aggregate(
        world.history()[round].updates,
        client_ids=[f"client {k}" for k in range(world.N_CLIENTS)],
        sample_counts=world.sample_counts(),
        params=world.history()[round].params,
    )
    assert not outcome.dropped.any()
    return outcome


@pytest.mark.parametrize("rule", [*NAMES, *VARIANTS])
def test_it_works_and_goes_on_after_it_was_saved(rule: str, tmp_path: Path) -> None:
    given = everything(rule)
    server = Server(rule, **given)
    asked(server, 0)
    server.save(tmp_path / "server")
    went_on = asked(server, 1)
    again = Server.load(tmp_path / "server", **{k: given[k] for k in ("model", "root", "recipe")})
    loaded = asked(again, 1)
    assert went_on.aggregate.isfinite().all()
    assert (went_on.aggregate == loaded.aggregate).all()
    for name in ("rejected", "scores", "weights"):
        np.testing.assert_array_equal(getattr(went_on, name), getattr(loaded, name))
    assert again.round == server.round == 2


@pytest.mark.parametrize("rule", [*NAMES, *VARIANTS])
def test_what_it_does_not_declare_may_be_left_out(rule: str) -> None:
    needs = make("aggregators", rule).needs
    updates = world.history()[0].updates
    shapes = world.network().layer_shapes
    if needs <= {Need.HISTORY, Need.F}:
        server = Server(rule, layer_shapes=shapes, f=2)
        assert server.aggregate(updates).aggregate.shape == updates[0].shape
        return
    with pytest.raises(UsageError, match=r"needs .*(f=2|model=|root=|recipe=|client_ids=|sample_counts=)"):
        Server(rule, layer_shapes=shapes).aggregate(updates)
