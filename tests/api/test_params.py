"""Parameters from annotations: checks, messages, the canonical call."""

import json
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt

from robustbench_fl.api.params import Shown, build, canonical_call, parameters, resolved
from robustbench_fl.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Base:
    start: Annotated[int, Ge(0)] = 0
    kind: ClassVar[str] = "none"


@dataclass(frozen=True, kw_only=True)
class Method(Base):
    trim: Annotated[float, Ge(0), Lt(0.5)] | None = None
    rate: Annotated[float, Gt(0)] = 1
    count: Annotated[int, Interval(ge=1, le=9)] = 2
    mode: Literal["max", "min"] = "max"
    step: Literal["auto"] | Annotated[float, Gt(0)] | None = None
    widths: tuple[Annotated[int, Ge(1)], ...] = (200,)
    loud: bool = False
    word: str = "mean"
    alpha: Annotated[float, Gt(0), Shown()] = 0.1

    def __post_init__(self) -> None:
        if self.mode == "min" and self.loud:
            raise ValueError("loud has no effect with mode=min")


@dataclass(frozen=True, kw_only=True)
class Needy:
    share: Annotated[float, Ge(0), Le(1)]


def made(**params):
    return build(Method, params, "method")


def refused(**params):
    with pytest.raises(UsageError) as caught:
        made(**params)
    return str(caught.value)


def test_own_parameters_come_first():
    names = [p.name for p in parameters(Method)]
    assert names == ["trim", "rate", "count", "mode", "step", "widths", "loud", "word", "alpha", "start"]


def test_described_for_people():
    found = {p.name: (p.type, p.range, p.default) for p in parameters(Method)}
    assert found == {
        "trim": ("a number or none", "[0, 0.5)", "none"),
        "rate": ("a number", "(0, inf)", "1"),
        "count": ("a whole number", "[1, 9]", "2"),
        "mode": ("max or min", "", "max"),
        "step": ("auto, a number or none", "(0, inf)", "none"),
        "widths": ("a list of whole numbers", "[1, inf)", "[200]"),
        "loud": ("true or false", "", "false"),
        "word": ("a word", "", "mean"),
        "alpha": ("a number", "(0, inf)", "0.1"),
        "start": ("a whole number", "[0, inf)", "0"),
    }
    assert [p.name for p in parameters(Method) if p.takes_list] == ["widths"]
    assert [p.name for p in parameters(Method) if p.shown] == ["alpha"]
    assert [p.required for p in parameters(Needy)] == [True]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trim": 0.5}, "method: parameter 'trim' must be a number in [0, 0.5) or none, got 0.5."),
        ({"trim": "abc"}, "method: parameter 'trim' must be a number in [0, 0.5) or none, got 'abc'."),
        ({"trim": "inf"}, "method: parameter 'trim' must be a number in [0, 0.5) or none, got 'inf'."),
        ({"trim": True}, "method: parameter 'trim' must be a number in [0, 0.5) or none, got true."),
        ({"rate": None}, "method: parameter 'rate' must be a number in (0, inf), got none."),
        ({"count": True}, "method: parameter 'count' must be a whole number in [1, 9], got true."),
        ({"count": 2.0}, "method: parameter 'count' must be a whole number in [1, 9], got 2."),
        ({"count": 10}, "method: parameter 'count' must be a whole number in [1, 9], got 10."),
        ({"count": "3"}, "method: parameter 'count' must be a whole number in [1, 9], got '3'."),
        ({"mode": "mid"}, "method: parameter 'mode' must be max or min, got 'mid'."),
        ({"step": 0}, "method: parameter 'step' must be auto, a number in (0, inf) or none, got 0."),
        ({"widths": [0]}, "method: parameter 'widths' must be a list of whole numbers in [1, inf), got [0]."),
        ({"widths": 64}, "method: parameter 'widths' must be a list of whole numbers in [1, inf), got 64."),
        ({"loud": 1}, "method: parameter 'loud' must be true or false, got 1."),
        ({"word": 3}, "method: parameter 'word' must be a word, got 3."),
        ({"mode": "min", "loud": True}, "method: loud has no effect with mode=min"),
        (
            {"trimm": 0.1},
            "method has no parameter 'trimm'. Did you mean trim?\n"
            "Its parameters: trim, rate, count, mode, step, widths, loud, word, alpha, start.",
        ),
        (
            {"zzz": 0.1},
            "method has no parameter 'zzz'.\n"
            "Its parameters: trim, rate, count, mode, step, widths, loud, word, alpha, start.",
        ),
    ],
)
def test_messages(params, message):
    assert refused(**params) == message


def test_missing_parameter():
    with pytest.raises(UsageError) as caught:
        build(Needy, {}, "needy in sweep.toml")
    assert str(caught.value) == "needy in sweep.toml needs the parameter 'share': a number in [0, 1]."


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_are_finite(value):
    assert "must be a number" in refused(rate=value)


def test_whole_numbers_are_numbers():
    method = made(trim=0, step=3)
    assert (method.trim, method.step) == (0.0, 3.0)
    assert type(method.trim) is type(method.step) is float


def test_equal_parameters_have_one_identity():
    spellings = [made(), made(rate=1), made(rate=1.0), made(widths=[200]), made(trim=None)]
    assert len({json.dumps(resolved(m)) for m in spellings}) == 1
    zeros = [made(trim=0), made(trim=0.0), made(trim=-0.0)]
    assert len({json.dumps(resolved(m)) for m in zeros}) == 1


def test_methods_can_be_hashed():
    assert hash(made(widths=[1, 2])) == hash(made(widths=[1, 2]))
    assert made(widths=[1, 2]).widths == (1, 2)


def test_resolved_is_complete_and_plain():
    assert resolved(made(widths=[4, 2])) == {
        "trim": None,
        "rate": 1.0,
        "count": 2,
        "mode": "max",
        "step": None,
        "widths": [4, 2],
        "loud": False,
        "word": "mean",
        "alpha": 0.1,
        "start": 0,
    }


def test_canonical_call_names_only_what_differs_and_what_is_shown():
    assert str(canonical_call("method", made())) == "method(alpha=0.1)"
    assert str(canonical_call("method", made(rate=1, alpha=2, start=3))) == "method(alpha=2, start=3)"
    assert str(canonical_call("needy", build(Needy, {"share": 1}, "needy"))) == "needy(share=1)"


def test_lists_are_annotated_as_tuples():
    @dataclass(frozen=True)
    class Careless:
        widths: list[int]

    with pytest.raises(TypeError, match=r"Careless\.widths: annotate a list as tuple"):
        parameters(Careless)
