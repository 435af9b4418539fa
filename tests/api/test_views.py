"""What either side may see: everything declared, nothing else."""

import copy

import numpy as np
import pytest
import torch

from robustbench_fl.api import AttackerView, AttackSpec, ClientRecipe, Knowledge, Need, RootData, ServerView
from robustbench_fl.core.errors import RobustbenchError, UndeclaredAccess

SHAPES = (("layer1.weight", (2, 3)),)
GIVEN = {
    "f": 2,
    "root": RootData(images=torch.ones(1, 1, 2, 2), labels=torch.zeros(1), train=lambda: torch.ones(6)),
    "model": object(),
    "params": torch.ones(6),
    "client_ids": (4, 7, 9),
    "last_step": None,
    "sample_counts": torch.tensor([1, 2, 3]),
    "recipe": ClientRecipe(samples=2, train=lambda images, labels: torch.ones(len(images), 6)),
}
NEED_OF = {
    "f": Need.F,
    "root": Need.ROOT_DATA,
    "model": Need.MODEL,
    "params": Need.MODEL,
    "client_ids": Need.CLIENT_IDS,
    "last_step": Need.HISTORY,
    "sample_counts": Need.SAMPLE_COUNTS,
    "recipe": Need.RECIPE,
}


def server(*needs, **given):
    rng = np.random.default_rng(0)
    return ServerView(frozenset(needs), round=3, rng=rng, layer_shapes=SHAPES, **{**GIVEN, **given})


def test_round_stream_and_shapes_are_always_there():
    view = server()
    assert (view.round, view.layer_shapes) == (3, SHAPES)
    assert view.rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("name", NEED_OF)
def test_declared_is_seen_and_undeclared_refused(name):
    need = NEED_OF[name]
    assert getattr(server(need), name) is GIVEN[name]
    others = server(*(set(Need) - {need}))
    assert not hasattr(others, name)
    with pytest.raises(UndeclaredAccess) as caught:
        getattr(others, name)
    assert str(caught.value) == (
        f"The rule read view.{name} without declaring it. Add Need.{need.name} to its `needs`."
    )
    assert isinstance(caught.value, RobustbenchError)


@pytest.mark.parametrize("name", ["malicious", "honest", "n_malicious", "_secret", "__deepcopy__"])
def test_the_server_never_sees_who_is_malicious(name):
    with pytest.raises(UndeclaredAccess, match=f"The server's view has no '{name}'. It has: round, rng,"):
        getattr(server(*Need), name)
    with pytest.raises(TypeError, match="A server's view has no malicious"):
        server(malicious=(4,))


def test_declared_but_not_available():
    view = ServerView(frozenset({Need.ROOT_DATA}), round=0, rng=None, layer_shapes=())
    with pytest.raises(UndeclaredAccess) as caught:
        _ = view.root
    assert str(caught.value) == (
        "view.root is declared (Need.ROOT_DATA) but not available here: root_data was not given."
    )


def test_narrowed_gives_at_most_what_both_declare():
    wide = server(Need.F, Need.CLIENT_IDS, Need.HISTORY)
    narrow = wide.narrowed(frozenset({Need.F, Need.MODEL, Need.HISTORY}))
    assert narrow.needs == {Need.F, Need.HISTORY}
    assert narrow.f == 2
    assert narrow.last_step is None
    assert narrow.rng is wide.rng
    for name in ("client_ids", "params", "root"):
        assert not hasattr(narrow, name)
    assert wide.client_ids == (4, 7, 9)


def test_narrowed_changes_and_takes_away():
    view = server(*Need).narrowed(frozenset(Need), client_ids=None, sample_counts=None, f=1)
    assert view.f == 1
    with pytest.raises(UndeclaredAccess, match=r"declared .* but not available here"):
        _ = view.client_ids
    assert not hasattr(view, "sample_counts")
    assert torch.equal(
        view.narrowed(frozenset({Need.HISTORY}), last_step=torch.ones(2)).last_step, torch.ones(2)
    )
    with pytest.raises(TypeError, match="has no malicious"):
        view.narrowed(frozenset(), malicious=1)


def test_views_can_be_copied():
    again = copy.copy(server(Need.F))
    assert again.f == 2
    assert not hasattr(again, "params")


SPEC = AttackSpec(
    n_clients=5, n_malicious=2, n_params=3, layer_shapes=SHAPES, n_classes=10, image_shape=(1, 8, 8)
)
ROWS = {
    "own": torch.full((2, 3), 1.0),
    "colluders": torch.full((2, 3), 2.0),
    "honest": torch.full((3, 3), 3.0),
    "honest_ids": (0, 1, 2),
}
LEVEL = {
    "own": Knowledge.OWN,
    "colluders": Knowledge.COLLUDERS,
    "honest": Knowledge.ALL,
    "honest_ids": Knowledge.ALL,
}


def attacker(knowledge, rows=ROWS, defence=None, model=None):
    return AttackerView(
        knowledge,
        round=1,
        rng=np.random.default_rng(0),
        n_participants=5,
        client_ids=(3, 4),
        spec=SPEC,
        params=torch.zeros(3),
        initial_params=torch.zeros(3),
        last_step=None,
        model=model,
        defence=defence,
        **rows,
    )


@pytest.mark.parametrize("name", LEVEL)
@pytest.mark.parametrize("knowledge", list(Knowledge))
def test_the_attacker_sees_what_its_knowledge_gives(name, knowledge):
    view = attacker(knowledge)
    if knowledge >= LEVEL[name]:
        assert getattr(view, name) is ROWS[name]
        return
    with pytest.raises(UndeclaredAccess) as caught:
        getattr(view, name)
    assert str(caught.value) == (
        f"The attack read view.{name}, which takes Knowledge.{LEVEL[name].name}; "
        f"it declares Knowledge.{knowledge.name}."
    )


def test_everyone_sees_the_global_model_and_the_setting():
    view = attacker(Knowledge.NOTHING)
    assert (view.round, view.n_participants, view.client_ids, view.last_step) == (1, 5, (3, 4), None)
    assert view.spec is SPEC
    assert torch.equal(view.params, view.initial_params)


def test_everyone_has_the_network():
    network = object()
    assert attacker(Knowledge.NOTHING, model=network).model is network
    with pytest.raises(UndeclaredAccess, match="made without a network"):
        _ = attacker(Knowledge.ALL).model


def test_known_rows_are_the_best_the_attacker_has():
    assert attacker(Knowledge.ALL).known is ROWS["honest"]
    assert attacker(Knowledge.COLLUDERS).known is ROWS["colluders"]
    with pytest.raises(UndeclaredAccess, match=r"view\.colluders, which takes Knowledge\.COLLUDERS"):
        _ = attacker(Knowledge.OWN).known


def test_updates_do_not_exist_before_the_training():
    with pytest.raises(UndeclaredAccess, match="not available before the clients have trained"):
        _ = attacker(Knowledge.ALL, rows={}).honest


def test_the_defence_is_for_attacks_that_declare_it():
    defence = object()
    assert attacker(Knowledge.ALL, defence=defence).defence is defence
    with pytest.raises(UndeclaredAccess, match="without declaring `knows_defence = True`"):
        _ = attacker(Knowledge.ALL).defence


@pytest.mark.parametrize("name", ["f", "rule", "root", "malicious", "_x"])
def test_nothing_else(name):
    with pytest.raises(UndeclaredAccess, match=f"The attacker's view has no '{name}'"):
        getattr(attacker(Knowledge.ALL, defence=object()), name)
