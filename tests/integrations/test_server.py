"""A server's forms, buffers, misfits and files; numbers that can be checked by hand."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import robustbench_fl as rb
from robustbench_fl import Server
from robustbench_fl.core.errors import InfeasibleError, UsageError
from robustbench_fl.integrations.forms import Layout

ROWS = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 9.0]])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()


def moved(net: nn.Module, by: float, batches: int, mean: float) -> dict[str, torch.Tensor]:
    """Return a client's state: all parameters moved `by`, `batches` seen, running means at `mean`."""
    client = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in client.parameters():
            parameter += by
        client[1].num_batches_tracked.fill_(batches)  # type: ignore[index, union-attr, operator]
        client[1].running_mean.fill_(mean)  # type: ignore[index, union-attr, operator]
    return client.state_dict()


def test_matrices_come_out_as_they_went_in() -> None:
    server = Server("median")
    assert server.aggregate(ROWS).aggregate.tolist() == [1, 2]
    again = server.aggregate(ROWS.double().numpy()).aggregate
    assert (again.dtype, again.tolist(), server.round) == (np.float64, [1, 2], 2)


@pytest.mark.parametrize("rule", ["centered_clipping", "scc"])
@pytest.mark.parametrize("form", [torch.from_numpy, np.asarray])
def test_a_step_that_is_scaled_in_place_changes_nothing_that_is_remembered(rule: str, form: Any) -> None:
    rows = [np.random.default_rng(seed).standard_normal((6, 20), np.float32) for seed in range(3)]
    scaled, left = Server(rule), Server(rule)
    for given in rows:
        step, same = (server.aggregate(form(given)).aggregate for server in (scaled, left))
        assert np.array_equal(np.asarray(step), np.asarray(same))
        step *= 99


def test_parameters_are_aggregated_by_the_rule_and_buffers_by_their_median() -> None:
    net = network()
    before = nn.utils.parameters_to_vector(net.parameters()).clone()
    server = Server("median", params=net)
    clients = [moved(net, 1, 5, 0.1), moved(net, 2, 6, 0.2), moved(net, 90, 10**12, -1e30)]
    new = server.aggregate_models(clients).aggregate
    assert list(new) == list(net.state_dict())
    assert new["1.num_batches_tracked"].dtype == torch.int64
    assert int(new["1.num_batches_tracked"]) == 6
    assert new["1.running_mean"].tolist() == pytest.approx([0.1] * 3)
    net.load_state_dict(new)
    after = nn.utils.parameters_to_vector(net.parameters())
    torch.testing.assert_close(after.detach(), before + 2)


def test_lists_of_arrays_are_a_state_dict_without_names() -> None:
    net = network()
    clients = [moved(net, by, 7, by) for by in (1, 2, 90)]
    as_lists = [[part.numpy() for part in client.values()] for client in clients]
    start = [part.numpy() for part in net.state_dict().values()]
    by_name = Server("median", params=net).aggregate_models(clients).aggregate
    listed = Server("median", model=net, params=start).aggregate_models(as_lists).aggregate
    assert [part.dtype for part in listed] == [part.dtype for part in start]
    for ours, theirs in zip(listed, by_name.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())


def test_updates_as_dicts_come_out_as_dicts_and_move_the_model() -> None:
    start = {"w": np.zeros((1, 2), np.float16), "seen": np.array(10, np.uint8)}
    server = Server("median", params=start)
    updates = [{"w": row[None].numpy(), "seen": np.array(k, np.uint8)} for k, row in enumerate(ROWS)]
    step = server.aggregate(updates).aggregate
    assert step["w"].tolist() == [[1, 2]]
    assert (server.params["w"].dtype, server.params["seen"].dtype) == (np.float16, np.uint8)
    assert (server.params["w"].tolist(), server.params["seen"].tolist()) == ([[1, 2]], 11)


def test_a_parameter_used_twice_is_aggregated_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = self.a

    net = Tied()
    layout = Layout.of(net)
    assert (layout.n_params, layout.aliases) == (4, {"b.weight": "a.weight"})
    new = Server("mean", params=net).aggregate_models([net, net]).aggregate
    assert (new["b.weight"] == net.a.weight).all()


def test_what_does_not_fit_or_is_not_finite_is_dropped() -> None:
    net = network()
    good = [moved(net, by, 1, 0) for by in (1, 2, 3)]
    lost = moved(net, 1, 1, float("nan"))
    short = {name: part for name, part in good[0].items() if name != "0.bias"}
    wide = {**good[0], "0.bias": torch.zeros(4)}
    with pytest.warns(UserWarning, match=r"client [34] of the round sent does not fit"):
        outcome = Server("mean", params=net).aggregate_models([*good, short, wide, lost])
    assert outcome.dropped.tolist() == [False, False, False, True, True, True]
    assert outcome.weights is not None
    assert outcome.weights.tolist() == pytest.approx([1 / 3] * 3 + [0] * 3)
    with pytest.raises(UsageError, match=r"'0\.bias' is missing"):
        Server("mean", params=net).aggregate_models([short])


def test_impossible_sample_counts_cost_a_client_its_row() -> None:
    outcome = Server("mean(weighted=true)").aggregate(ROWS, sample_counts=[1, float("inf"), 3])
    assert outcome.dropped.tolist() == [False, True, False]
    assert outcome.aggregate.tolist() == [1.5, 7]


def test_the_model_is_kept_where_nothing_can_be_aggregated() -> None:
    server = Server("krum", f=0, params=np.zeros(2, np.float32))
    assert server.aggregate(ROWS).kept is None
    before = server.params.tolist()
    none = server.aggregate(np.full((3, 2), np.nan))
    few = server.aggregate(torch.cat([ROWS[:1], torch.full((2, 2), torch.inf)]))
    assert (none.kept, few.kept) == ("no row can be used", "1 usable rows of 3 are too few")
    huge = Server("meamed", f=0).aggregate(torch.full((6, 1), 3e38))
    assert (huge.kept, huge.aggregate.tolist()) == ("the aggregate is not finite", [0])
    assert server.params.tolist() == before
    assert "kept='no row can be used'" in repr(none)


def test_f_is_capped_as_in_a_cell_when_rows_are_lost() -> None:
    rows = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    server = Server("krum", f=2, n_clients=7)
    assert not server.aggregate(rows).capped
    rows[:2] = torch.nan
    outcome = server.aggregate(rows)
    assert (outcome.f, outcome.capped) == (1, True)


def first(rule: str = "median", **given: Any) -> Any:
    asked = {name: given.pop(name) for name in ("updates", "client_ids", "sample_counts") if name in given}
    return Server(rule, **given).aggregate(asked.pop("updates", ROWS), **asked)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule": "krum"}, r"krum needs the number of clients assumed malicious \(f=2\)\."),
        ({"rule": "krum", "f": -1}, "0 or more; got -1"),
        ({"rule": "krum", "f": True}, "0 or more; got True"),
        ({"rule": "local_only"}, "a baseline for tables"),
        ({"rule": "foolsgold"}, r"in every round who sent which row \(client_ids=\[…\]\)\."),
        ({"rule": "foolsgold", "client_ids": [1, 1, 2]}, "got 3, 1 twice"),
        ({"rule": "foolsgold", "client_ids": [1, 2]}, "3 different ids, one a row; got 2"),
        ({"rule": "foolsgold", "client_ids": [1.5, 2, 3]}, "whole numbers or texts"),
        ({"updates": ROWS[0]}, r"matrix \[n, d\]"),
        ({"updates": ROWS.int()}, "floating-point matrix"),
        ({"updates": {"w": ROWS}}, "got a dict"),
        ({"updates": []}, "no client"),
        ({"updates": [3]}, "A network is a torch module"),
        ({"updates": [[ROWS], [ROWS[:, 0]]]}, "'0' has the shape"),
        ({"params": np.zeros(3, np.float32)}, "2 numbers; the network has 3"),
        ({"params": np.zeros(3, int)}, "must be real floating numbers"),
        ({"sample_counts": [1, 2], "rule": "mean(weighted=true)"}, "give one a row"),
        ({"rule": "fltrust", "params": network(), "root": (ROWS, [0, 1, 0])}, r"needs how the clients train"),
        (
            {"rule": "fltrust", "params": network(), "root": (ROWS, [0, 1, 0]), "recipe": {"lr": 1}},
            "keeps buffers",
        ),
        (
            {"rule": "fltrust", "params": nn.Linear(2, 2), "root": (ROWS, [0, 1, 0]), "recipe": {"rate": 1}},
            "recipe has no 'rate'",
        ),
        (
            {"rule": "fltrust", "params": nn.Linear(2, 2), "root": (ROWS, [0, 1]), "recipe": {"lr": 1}},
            r"root must be inputs \[r, ...\] and labels \[r\]",
        ),
        (
            {"rule": "fltrust", "params": nn.Linear(2, 2), "root": (ROWS, [0, 1, 0]), "recipe": {"lr": -1}},
            "lr = -1",
        ),
        (
            {"rule": "fltrust", "params": nn.Linear(2, 2), "root": (ROWS, [0, 1, 2]), "recipe": {"lr": 1}},
            "labels of root go up to 2; the network has 2 outputs",
        ),
        (
            {"rule": "fltrust", "params": nn.Linear(3, 2), "root": (ROWS, [0, 1, 0]), "recipe": {"lr": 1}},
            r"cannot take an input of the shape \[2\]",
        ),
        (
            {"rule": "fltrust", "params": nn.Linear(2, 2), "root": (ROWS, [0, 0.5, 0]), "recipe": {"lr": 1}},
            "must be classes, whole numbers",
        ),
        (
            {
                "rule": "fltrust",
                "params": nn.Linear(2, 2),
                "root": (ROWS / 0, [0, 1, 0]),
                "recipe": {"lr": 1},
            },
            "hold NaN, Inf",
        ),
        ({"rule": "fedredefense(preset=fast)", "params": nn.Linear(2, 2)}, "give input_shape"),
        ({"buffers": ["x"], "params": nn.Linear(2, 2)}, "no tensors called x"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        first(**given)


def test_a_rule_that_cannot_bear_f_is_refused_at_once() -> None:
    with pytest.raises(InfeasibleError, match=r"n = 7, f = 3"):
        Server("krum", f=3, n_clients=7)
    with pytest.raises(InfeasibleError, match=r"n = 3, f = 1"):
        Server("krum", f=1).aggregate(ROWS)


def test_models_need_something_to_be_compared_with() -> None:
    with pytest.raises(UsageError, match="give params"):
        Server("median").aggregate_models([[ROWS.numpy()]])


def test_a_recipe_of_the_users_own_trains_a_network_with_buffers() -> None:
    net = network()
    server = Server("fltrust", params=net, root=(ROWS, [0, 1, 0]), recipe=lambda w, x, y: torch.ones_like(w))
    updates = torch.ones(3, server.params["0.weight"].numel() + 3 + 6 + 8)
    assert server.aggregate(updates).aggregate.tolist() == pytest.approx([1] * updates.shape[1])
    wrong = Server("fltrust", params=net, root=(ROWS, [0, 1, 0]), recipe=lambda w, x, y: w[:2])
    with pytest.raises(UsageError, match=r"returned \[2\]; return what the training changed"):
        wrong.aggregate(updates)
    aliased = Server("fltrust", params=net, root=(ROWS, [0, 1, 0]), recipe=lambda w, x, y: w.add_(1))
    with pytest.raises(UsageError, match="changed its params in place"):
        aliased.aggregate(updates)


def test_a_saved_server_keeps_form_buffers_and_round(tmp_path: Path) -> None:
    net = network()
    server = Server("centered_clipping", params=net)
    server.aggregate_models([moved(net, by, by, 0) for by in (1, 2, 3)])
    server.save(tmp_path / "s.server")
    again = Server.load(tmp_path / "s.server")
    assert (again.round, list(again.params)) == (1, list(server.params))
    for name, part in server.params.items():
        assert part.dtype == again.params[name].dtype
        assert (part == again.params[name]).all()
    fresh = Server("median")
    fresh.save(tmp_path / "fresh.server")
    assert Server.load(tmp_path / "fresh.server").aggregate(ROWS).aggregate.tolist() == [1, 2]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.server"
    Server("median", f=1).save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[:200] + b"?" + whole[201:], b"other"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"s\.server"):
            Server.load(path)
    with pytest.raises(UsageError, match="no saved server"):
        Server.load(tmp_path / "nothing")


def test_no_warning_in_a_plain_round() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Server("mean", params=network()).aggregate_models([network(), network()])


NAMED = [{"w": row[:1].numpy(), "b": row[1:].numpy()} for row in ROWS]


def test_a_server_that_was_only_told_updates_still_knows_the_network_when_it_is_loaded(
    tmp_path: Path,
) -> None:
    server = Server("median")
    server.aggregate(NAMED)
    server.save(tmp_path / "memory.server")
    again = Server.load(tmp_path / "memory.server")
    with pytest.warns(UserWarning, match="client 0 of the round sent does not fit"):
        outcome = again.aggregate([{"w": np.zeros(3, np.float32)}, *NAMED])
    assert (outcome.dropped.tolist(), list(outcome.aggregate)) == ([True, False, False, False], ["w", "b"])
    # Nor does the first client say any more in which order the numbers come.
    assert list(again.aggregate([dict(reversed(NAMED[0].items())), *NAMED]).aggregate) == ["w", "b"]


@pytest.mark.parametrize("params", [{"w": np.zeros(1), "b": np.zeros(1)}, None])
def test_a_loaded_server_knows_which_tensors_are_not_learned(tmp_path: Path, params: Any) -> None:
    server = Server("median", params=params, buffers=["b"])
    server.save(tmp_path / "memory.server")
    again = Server.load(tmp_path / "memory.server")
    assert [s.aggregate(NAMED).aggregate["b"].tolist() for s in (server, again)] == [[2], [2]]
    again.save(tmp_path / "memory.server")
    once_more = Server.load(tmp_path / "memory.server")
    assert [s.aggregate(NAMED).aggregate["w"].tolist() for s in (again, once_more)] == [[1], [1]]
    assert str(again.params) == str(once_more.params)


def test_a_round_that_was_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    server = Server("median")
    with pytest.raises(UsageError, match="client 1 of the round"):
        server.aggregate([{"w": np.zeros(3, np.float32)}, *NAMED])
    with pytest.raises(UsageError, match="client_ids"):
        server.aggregate(NAMED, client_ids=[1])
    server.save(tmp_path / "memory.server")
    for one in (server, Server.load(tmp_path / "memory.server")):
        assert one.aggregate(NAMED).aggregate["w"].tolist() == [1]


def test_arrays_of_other_strides_and_byte_orders_are_numbers_too() -> None:
    for rows in (ROWS.numpy()[::-1], ROWS.numpy().astype(">f4"), ROWS.numpy().astype(np.longdouble)):
        assert Server("median").aggregate(rows, client_ids=np.array(list("abc"))).aggregate.tolist() == [1, 2]
        assert rb.aggregate("median", rows).tolist() == [1, 2]
        assert Server("median").aggregate(list(rows)).aggregate.tolist() == [1, 2]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"updates": np.array([["a"]])}, {"updates": np.array([[None]])}, {"updates": ROWS.to_sparse()},
        {"updates": ROWS, "client_ids": 3}, {"updates": ROWS, "sample_counts": [10**400, 1, 1]},
    ],
)  # fmt: skip
def test_what_is_no_number_is_said_to_be_none(kwargs: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Server("median").aggregate(**kwargs)
    with pytest.raises(UsageError, match="seed must be a whole number"):
        Server("median", seed=0.5)  # type: ignore[arg-type]


def test_a_client_stops_no_round_with_a_type_that_the_network_has_not() -> None:
    start = {"w": torch.zeros(2), "seen": torch.tensor(0), "turn": torch.zeros(2, dtype=torch.complex64)}

    def sent(k: int, **odd: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "w": torch.full((2,), float(k)),
            "seen": torch.tensor(k),
            "turn": start["turn"] + k * 1j,
            **odd,
        }

    for name, odd, dropped in (
        ("w", torch.ones(2).to_sparse(), True),
        ("w", torch.ones(2, device="meta"), True),
        ("w", torch.ones(2) * 1j, True),
        ("turn", torch.full((2,), torch.nan), True),
        ("seen", torch.tensor(7, dtype=torch.uint64), False),
    ):
        server = Server("median", params=start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = server.aggregate([sent(1, **{name: odd}), sent(2), sent(3), sent(2)])
        assert outcome.dropped.tolist() == [dropped, False, False, False]
        assert outcome.aggregate["w"].tolist() == [2, 2]
        assert outcome.aggregate["turn"].tolist() == [2j, 2j]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"root": (torch.zeros(3, 2), [0, 1, 7])}, "labels of root go up to 7; the network has"),
        ({"root": (torch.zeros(3, 2), [0, 1, -1])}, "whole numbers from 0"),
        ({"root": (torch.zeros(3, 2), [0, 1, 0.5])}, "whole numbers from 0"),
        ({"root": (torch.zeros(3, 5), [0, 1, 0])}, r"The network cannot take an input of the shape \[5\]"),
        ({"recipe": {"lr": True}}, "lr = True must be a number"),
        ({"recipe": ["lr"]}, "recipe must be settings"),
    ],
)
def test_root_data_and_recipes_that_do_not_fit_are_refused(given: dict[str, Any], says: str) -> None:
    net = nn.Linear(2, 2)
    fitting = {"root": (torch.rand(3, 2), [0, 1, 0]), "recipe": {"lr": 0.1}}
    with pytest.raises(UsageError, match=says):
        Server("fltrust", model=net, params=net, **{**fitting, **given}).aggregate(torch.ones(3, 6))
