"""The expressions of --only and --exclude: what they choose, refuse, and how they are written."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_fl.core.cell import Cell, Planned
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.settings import Settings
from robustbench_fl.sweep.selection import AXES, NUMBERS, Name, Selection, Span, Term, select
from robustbench_fl.sweep.selection_text import parse


def cell(**values: object) -> Planned:
    """Return a planned cell without asking whether its methods exist."""
    point = {
        "dataset": "digits", "model": "mlp(hidden=[64, 32])", "partition": "iid", "aggregator": "mean",
        "attack": "none", "malicious": 0.3, "assumed_f": None, "seed": 0, "settings": Settings(), **values,
    }  # fmt: skip
    methods = {axis: point[axis] for axis in ("dataset", "model", "partition", "aggregator", "attack")}
    return Planned(Cell(**point, methods=methods), {})  # type: ignore[arg-type]


RULES = ["krum", "multi_krum(k=3)", "nnm > krum", "trimmed_mean(trim=0.1)", "trimmed_mean", "mean"]
CELLS = [
    cell(aggregator=rule, attack=attack, seed=seed, malicious=share, assumed_f=mode)
    for rule, mode in zip(RULES, ["exact", "exact", "exact", None, None, None], strict=True)
    for attack in ("none", "alie", "alie(z=1.5)")
    for seed in range(4)
    for share in (0.1, 0.2, 0.4)
]  # fmt: skip


def chosen(only: str | None = None, exclude: str | None = None) -> list[Cell]:
    """Return the cells that one expression of each kind leaves."""
    parsed = [
        [parse(text, flag)] if text else [] for text, flag in ((only, "--only"), (exclude, "--exclude"))
    ]
    return [planned.cell for planned in select(CELLS, *parsed)]


@pytest.mark.parametrize(
    ("expression", "rules"),
    [
        ("aggregator=krum", ["krum"]),
        ("aggregator=krum|multi_krum", ["krum", "multi_krum(k=3)"]),
        ("aggregator=*krum", ["krum", "multi_krum(k=3)", "nnm > krum"]),
        ("aggregator=nnm>*", ["nnm > krum"]),
        ("aggregator='nnm > krum'", ["nnm > krum"]),
        ("aggregator=trimmed_mean", ["trimmed_mean(trim=0.1)", "trimmed_mean"]),
        ("aggregator=trimmed_mean(trim=0.1)", ["trimmed_mean(trim=0.1)"]),
        ("aggregator=trimmed_mean( trim=0.1 )|?ean", ["trimmed_mean(trim=0.1)", "mean"]),
        ("aggregator!=*krum*|mean", ["trimmed_mean(trim=0.1)", "trimmed_mean"]),
        ("assumed_f=-", ["trimmed_mean(trim=0.1)", "trimmed_mean", "mean"]),
        ("aggregator=*krum aggregator!=multi*  assumed_f=exact", ["krum", "nnm > krum"]),
        ("model=mlp model=mlp(hidden=[64,32]) dataset=digits lr=0.05 rounds>=20 local_steps=none", RULES),
    ],
)
def test_rules_meant(expression: str, rules: list[str]) -> None:
    assert list(dict.fromkeys(c.aggregator for c in chosen(expression))) == rules
    # The rest is what excluding them leaves.
    assert len(chosen(None, expression)) == len(CELLS) - len(chosen(expression)) if rules != RULES else True


@pytest.mark.parametrize(
    ("expression", "points"),
    [
        ("seed=0..1 malicious>=0.2", {(0, 0.2), (0, 0.4), (1, 0.2), (1, 0.4)}),
        ("seeds=3 malicious<0.2", {(3, 0.1)}),
        ("seed=0|2..3 malicious=0.1..0.2", {(s, m) for s in (0, 2, 3) for m in (0.1, 0.2)}),
        ("seed!=1..3 malicious>0.1 malicious!=4e-1", {(0, 0.2)}),
    ],
)
def test_numbers_meant(expression: str, points: set[tuple[int, float]]) -> None:
    found = chosen(expression)
    assert {(c.seed, c.malicious) for c in found} == points
    assert len(found) == len(points) * len(RULES) * 3


def test_only_is_any_of_several_and_exclude_none_of_them() -> None:
    only = [parse("aggregator=krum seed=0"), parse("aggregator=mean seed=1")]
    exclude = [parse("attack=none"), parse("malicious<0.4")]
    left = {(p.cell.aggregator, p.cell.seed, p.cell.attack) for p in select(CELLS, only, exclude)}
    assert left == {(r, s, a) for r, s in (("krum", 0), ("mean", 1)) for a in ("alie", "alie(z=1.5)")}


def test_a_key_is_an_axis() -> None:
    wanted = CELLS[17].cell
    assert chosen(f"key={wanted.key}") == chosen(f"key={wanted.key[:9]}*") == [wanted]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("  ", "--only is empty"),
        ("krum", "expected a term such as aggregator=krum, seed=0..2 or malicious>=0.2 (at character 1)"),
        ("seed=0 agregator=krum", "unknown axis 'agregator' (at character 8)"),
        ("agregator=krum", "Did you mean aggregator?"),
        ("aggregator>krum", "aggregator has no order; use = or != (at character 11)"),
        ("aggregator=krumm", "no cell of this sweep has aggregator krumm (at character 12)"),
        ("aggregator=krumm", "Did you mean krum or nnm>krum or multi_krum?\nHere it is one of: krum; mean;"),
        ("seed=0..1|9", "no cell of this sweep has seed 9 (at character 11)"),
        ("seed=9", "Here it is one of: 0; 1; 2; 3"),
        ("seed=many", "seed is a number or a range such as 0..2, got 'many'"),
        ("seed=3..1", "the range 3..1 holds no number"),
        ("seed=1..", "got '1..'"),
        ("seed='1'", "needs no quotes"),
        (f"seed={'9' * 5000}", "seed is a number"),
        ("malicious<0.1|0.2", "< takes one number"),
        ("malicious<none", "< takes one number"),
        ("aggregator=", "expected a value (at character 12)"),
        ("aggregator=krum|", "expected a value (at character 17)"),
        ("aggregator='krum", "the quote is not closed"),
        ("aggregator=krum(k=3", "a bracket is not closed"),
        ("aggregator='krum'seed=1", "expected a space before the next term (at character 18)"),
    ],
)  # fmt: skip
def test_refused_with_place_and_what_is_known(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(expression)
    assert said in str(caught.value)
    if "(at character" in said:
        place = int(said.rpartition("(at character ")[2].rstrip(")"))
        assert str(caught.value).splitlines()[2] == f"  {' ' * (place - 1)}^"


names = st.builds(Name, st.text(st.characters(codec="utf-8"), max_size=12))
numbers = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9).map(lambda number: number + 0.0)
spans = st.tuples(numbers, numbers).map(lambda ends: Span(min(ends), max(ends)))


@st.composite
def terms(draw: st.DrawFn) -> Term:
    """Return any term that can be written."""
    axis = draw(st.sampled_from(AXES))
    if axis in NUMBERS and draw(st.booleans()):
        number = draw(numbers)
        return Term(axis, draw(st.sampled_from(["<", "<=", ">", ">="])), (Span(number, number),))
    values = spans | st.just(Name("none")) if axis in NUMBERS else names
    return Term(
        axis, draw(st.sampled_from(["=", "!="])), tuple(draw(st.lists(values, min_size=1, max_size=3)))
    )


@given(st.lists(terms(), min_size=1, max_size=4))
def test_what_is_printed_parses_back(drawn: list[Term]) -> None:
    selection = Selection(tuple(drawn))
    assert parse(str(selection)) == selection


pieces = st.lists(st.sampled_from(["seed", "=", "..", "1", "'", "|", "(", " ", "attack"])).map("".join)


@given(st.text(max_size=30) | pieces)
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse(str(parse(text))) == parse(text)
