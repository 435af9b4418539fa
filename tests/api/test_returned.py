"""What methods return is held against their contract, with a sentence that says what to return."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_fl.api import Aggregation, Aggregator, Attack, AttackSpec, Poison, State
from robustbench_fl.api.build import make
from robustbench_fl.api.returned import (
    WrongReturn,
    checked_mixing,
    checked_outcome,
    checked_poison,
    checked_rows,
)

UPDATES = torch.arange(15.0).reshape(5, 3)
MEAN = UPDATES.mean(0)
FIVE = torch.ones(5)


@dataclass(frozen=True, kw_only=True)
class MyRule(Aggregator):
    """Returns what it is made with."""

    answer: Any = None

    def aggregate(self, updates: Tensor, view: Any, state: Any) -> Any:
        return self.answer


class Memory(State):
    """Of nothing."""


class MyAttack(Attack):
    """Never asked."""


SPEC = AttackSpec(n_clients=5, n_malicious=2, n_params=3, layer_shapes=(), n_classes=4, image_shape=(1, 2, 2))


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ((Aggregation(UPDATES.mean()), None), "an aggregate that is a float32 Tensor []. Return a real "
         "floating Tensor [3], as updates.mean(0) is."),
        ((Aggregation(UPDATES.mean(0, keepdim=True)), None), "an aggregate that is a float32 Tensor [1, 3]."),
        ((Aggregation(MEAN.to(torch.complex64)), None), "an aggregate that is a complex64 Tensor [3]."),
        ((Aggregation(MEAN.long()), None), "an aggregate that is a int64 Tensor [3]."),
        ((Aggregation(None), None), "an aggregate that is None."),
        ((Aggregation(MEAN.numpy()), None), "an aggregate that is a ndarray."),
        ((Aggregation(MEAN.to("meta")), None), "an aggregate on meta; the updates are on cpu. Return i"),
        (None, "None, not a pair. Return Aggregation(aggregate), state; None is the state of a met"),
        (Aggregation(MEAN), "an Aggregation, not a pair."),
        (MEAN, "a float32 Tensor [3], not a pair."),
        ((Aggregation(MEAN),), "a tuple of 1, not a pair."),
        ((MEAN, None), "a float32 Tensor [3] as its outcome. Return an Aggregation and the state"),
        ((Aggregation(MEAN, weights=torch.ones(4)), None), "`weights` that is a float32 Tensor [4]. Return a "
         "floating Tensor [5], one value for each row of updates."),
        ((Aggregation(MEAN, weights=FIVE.bool()), None), "`weights` that is a bool Tensor [5]."),
        ((Aggregation(MEAN, rejected=FIVE), None), "`rejected` that is a float32 Tensor [5]. Return a bool"),
        ((Aggregation(MEAN, rejected=[0, 1]), None), "`rejected` that is a list."),
        ((Aggregation(MEAN, selected=torch.tensor([0, 2])), None), "`selected` that is a int64 Tensor [2]."),
        ((Aggregation(MEAN, scores=FIVE[:, None]), None), "`scores` that is a float32 Tensor [5, 1]."),
        ((Aggregation(MEAN, diagnostics={"odd": MEAN}), None), "the diagnostic 'odd' that is a float32"),
        ((Aggregation(MEAN), {"sum": MEAN}), "a dict as its state. Return a State"),
        ((Aggregation(MEAN), Memory()), "a Memory as its state after None. Return the kind that init_"),
    ],
)  # fmt: skip
def test_wrong_outcomes(returned: Any, said: str) -> None:
    with pytest.raises(WrongReturn) as error:
        checked_outcome(MyRule(), returned, UPDATES, None)
    assert str(error.value).startswith(f"MyRule.aggregate returned {said}")


def test_right_outcomes_pass_as_they_are() -> None:
    full = Aggregation(
        MEAN.double(), weights=FIVE / 5, selected=FIVE.bool(), rejected=FIVE.bool(),
        scores=FIVE.double() * torch.nan, diagnostics={"n": FIVE.long(), "hit": FIVE.bool()},
    )  # fmt: skip
    state = Memory()
    assert checked_outcome(MyRule(), (full, state), UPDATES, Memory()) == (full, state)
    broken = Aggregation(MEAN * torch.inf)  # a result: the model is lost, and the cell says so
    assert checked_outcome(MyRule(), (broken, None), UPDATES, None)[0] is broken


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (UPDATES[:2], "a float32 Tensor [2, 3], not a pair."),
        ((UPDATES[0], None), "rows that is a float32 Tensor [3]. Return a real floating Tensor [2, 3], as "
         "row.repeat(len(view.client_ids), 1) is."),
        ((UPDATES[:1], None), "rows that is a float32 Tensor [1, 3]."),
        ((UPDATES, None), "rows that is a float32 Tensor [5, 3]."),
        ((torch.tensor(0.0), None), "rows that is a float32 Tensor []."),
        ((UPDATES[:2].long(), None), "rows that is a int64 Tensor [2, 3]."),
        ((UPDATES[:2], 3), "an int as its state."),
    ],
)  # fmt: skip
def test_wrong_rows(returned: Any, said: str) -> None:
    with pytest.raises(WrongReturn) as error:
        checked_rows(MyAttack(), returned, UPDATES[:2], None)
    assert str(error.value).startswith(f"MyAttack.craft returned {said}")


def test_rows_may_be_of_any_precision_and_size() -> None:
    rows = UPDATES[:2].double() * torch.nan
    assert checked_rows(MyAttack(), (rows, None), UPDATES[:2], None)[0] is rows


@pytest.mark.parametrize(
    ("poison", "said"),
    [
        ("flip", "a str. Return a Poison, or None to train honestly."),
        (Poison(label_map=(0, 1, 2)), "the label map (0, 1, 2). Return one class from 0 to 3 for each of"),
        (Poison(label_map=(0, 1, 2, 4)), "the label map (0, 1, 2, 4)."),
        (Poison(triggers=(None,), target=4), "the target 4. Return a class from 0 to 3."),  # type: ignore[arg-type]
        (Poison(gradient_mask=torch.ones(2)), "a float32 Tensor [2] as gradient_mask. Return a Tensor [3]"),
    ],
)  # fmt: skip
def test_wrong_poison(poison: Any, said: str) -> None:
    with pytest.raises(WrongReturn) as error:
        checked_poison(MyAttack(), poison, SPEC)
    assert str(error.value).startswith(f"MyAttack.poison returned {said}")


def test_weights_of_a_pre_aggregator() -> None:
    (stage,) = make("aggregators", "nnm > mean").stages
    for right in (torch.eye(5), FIVE):
        assert checked_mixing(stage, (right, None), UPDATES, None)[0] is right
    with pytest.raises(WrongReturn, match=r"mixing returned weights that is a float32 Tensor \[2, 5\]"):
        checked_mixing(stage, (torch.ones(2, 5), None), UPDATES, None)
    with pytest.raises(WrongReturn, match="not a pair"):
        checked_mixing(stage, torch.eye(5), UPDATES, None)


def test_a_check_takes_microseconds() -> None:
    outcome = make("aggregators", "mean").aggregate(UPDATES, None, None)
    start = time.process_time()
    for _ in range(1000):
        checked_outcome(MyRule(), outcome, UPDATES, None)
    assert time.process_time() - start < 0.1
