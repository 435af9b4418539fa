"""Each check fails on a method that breaks just what it is about, and says so."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from robustbench_fl.api import registry
from robustbench_fl.conformance import Case, Outcome, cases

_HEAD = '''
from __future__ import annotations
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
import numpy as np
import torch
from robustbench_fl.api import *
from robustbench_fl.api import Aggregation
from robustbench_fl.api import register


def middle(updates):
    """Return the median of the rows, Tensor [n, d] to Tensor [d]."""
    return updates.quantile(0.5, dim=0)

'''
_RULE = '''
@register("probe")
@dataclass(frozen=True, kw_only=True)
class Probe(Aggregator):
    """Take the median of each coordinate."""
'''

pytestmark = pytest.mark.usefixtures("clean_registry")


def failures(tmp_path: Path, text: str, kind: str = "aggregators", check: str = "") -> dict[str, str]:
    """Return the checks that fail on the method `probe` defined by `text`, with their messages.

    With `check`, the others are asked only if it passes, to say what did fail.
    """
    # A name of its own for each test: the other process of the suite keeps what it has loaded.
    name = f"probe_{tmp_path.name}"
    path = tmp_path / "probe.py"
    path.write_text(_HEAD + text.replace('"probe"', f'"{name}"').replace("'probe", f"'{name}"))
    registry.load_plugin(path)
    return found_by(cases(kind, [name]), check)


def found_by(asked: list[Case], check: str) -> dict[str, str]:
    """Return the checks that fail with their messages; see :func:`failures`."""
    first = [case for case in asked if case.check.name == check]
    for some in (first, asked):
        results = {case.check.name: case.result() for case in some}
        failed = {name: result.why for name, result in results.items() if result.outcome is Outcome.FAIL}
        if failed:
            return failed
    return {}


def rule(body: str, facts: str = "") -> str:
    """Return a rule that is a median but for `body`, which must set `out` and may set `state`."""
    return (
        _RULE
        + textwrap.indent(textwrap.dedent(facts), "    ")
        + "\n    def aggregate(self, updates, view, state):\n"
        + textwrap.indent(textwrap.dedent(body), "        ")
        + "\n        return (out if isinstance(out, Aggregation) else Aggregation(out)), state\n"
    )


def test_a_sound_rule_passes(tmp_path: Path) -> None:
    assert failures(tmp_path, rule("out = middle(updates)", "coordinatewise: ClassVar[bool] = True")) == {}


@pytest.mark.parametrize(
    ("check", "says", "body", "facts"),
    [
        ("output", "not [n_params]", "out = updates", ""),
        ("tuning", "no parameter 'x'", "out = middle(updates)", "tuning: ClassVar = {'x': (1, 2)}"),
        (
            "tuning",
            "default 1 of x is not in",
            "out = middle(updates)",
            "x: int = 1\ntuning: ClassVar = {'x': (2, 3)}",
        ),
        (
            "tuning",
            "cannot be made",
            "out = middle(updates)",
            "x: int = 1\ntuning: ClassVar = {'x': (1, 'a')}",
        ),
        ("output", "not finite", "out = middle(updates) * torch.nan", ""),
        ("output", "torch.float64", "out = middle(updates).double()", ""),
        ("output", "`rejected`", "out = middle(updates)", "detector: ClassVar[bool] = True"),
        ("output", "not one number", "out = Aggregation(middle(updates), scores=updates[0])", ""),
        (
            "verdicts_agree",
            "misses the aggregate",
            "out = Aggregation(middle(updates), weights=updates.new_full((len(updates),), 1 / len(updates)))",
            "",
        ),
        ("inputs_unchanged", "changed its input", "updates[0] = 0; out = middle(updates)", ""),
        ("repeatable", "second call", "out = middle(updates) + 1e-3 * torch.rand(1)", ""),
        ("no_global_randomness", "torch's global", "torch.manual_seed(0); out = middle(updates)", ""),
        ("no_global_randomness", "NumPy's global", "np.random.rand(); out = middle(updates)", ""),
        ("owns_its_results", "overwriting", "out = updates[0]", ""),
        ("permutation", "permuted clients", "out = updates[0].clone()", ""),
        ("every_size", "n = 1, f = 0", "out = updates.topk(2, 0).values.mean(0)", ""),
        (
            "every_size",
            "no number",
            "out = middle(updates)",
            "def infeasible(self, n_clients, f): return None if n_clients > 3 else 'too few'",
        ),
        ("needs_declared", "view.f", "out = middle(updates) * (1 + 0 * view.f)", ""),
        ("needs_declared", "view.client_ids", "hasattr(view, 'client_ids'); out = middle(updates)", ""),
        ("needs_used", "Need.F", "out = middle(updates)", "needs = frozenset({Need.F})"),
        ("translation", "declares `translation = True`", "out = middle(updates.sign())", ""),
        ("translation", "declare True", "out = middle(updates)", "translation: ClassVar[bool] = False"),
        ("scale", "declares `scale = True`", "out = middle(updates.clamp(-0.01, 0.01))", ""),
        ("scale", "declare True", "out = middle(updates)", "scale: ClassVar[bool] = False"),
        ("identical_updates", "equal updates", "out = middle(updates) / 2", ""),
        ("outlier", "it is the plain mean", "out = updates.mean(0)", ""),
        ("outlier", "declare True", "out = middle(updates)", "robust: ClassVar[bool] = False"),
        ("huge_rows", "not finite", "out = middle(updates) + 0 * updates.square().sum()", ""),
        ("zero_rows", "not finite", "out = middle(updates / updates.norm(dim=1, keepdim=True))", ""),
        (
            "coordinatewise",
            "columns",
            "out = middle(updates) * updates.norm()",
            "coordinatewise: ClassVar[bool] = True",
        ),
        ("other_process", "hash seed", "out = middle(updates) * (1 + hash('seed') % 97)", ""),
    ],
)
def test_a_broken_rule_fails(tmp_path: Path, check: str, says: str, body: str, facts: str) -> None:
    found = failures(tmp_path, rule(body, facts), check=check)
    assert says in found.get(check, f"nothing; failed: {found}")


def test_a_rule_that_changes_its_state_or_forgets_it_fails(tmp_path: Path) -> None:
    text = """
@dataclass(frozen=True, kw_only=True)
class Memory(State):
    sums: dict = field(default_factory=dict)
    hidden: list = field(default_factory=list, repr=False)

    def to_tensors(self):
        return {"sum/" + str(k): v for k, v in self.sums.items()}

    def from_tensors(self, tensors):
        return Memory()

""" + rule(
        """
        for row, update in enumerate(updates):
            state.sums[row] = state.sums.get(row, 0) + update
        out = middle(torch.stack([state.sums[row] for row in range(len(updates))]))
        """,
        """
        needs = frozenset({Need.HISTORY})
        def init_state(self, spec): return Memory()
        """,
    )
    found = failures(tmp_path, text)
    assert "changed the state" in found["repeatable"]
    assert "checkpoint" in found
    assert "another order of the rows" in found["absences"]


@pytest.mark.parametrize(
    ("check", "says", "options", "inside"),
    [
        ("documentation", "no short sentence", "kw_only=True", '"""Take a median"""'),
        ("documentation", "does not describe k", "kw_only=True", '"""Take it."""\n    k: int = 1'),
        ("constructor", "kw_only", "", '"""Take it."""\n    k: int = 1'),
    ],
)
def test_a_badly_declared_rule_fails(
    tmp_path: Path, check: str, says: str, options: str, inside: str
) -> None:
    text = f"""
@register("probe")
@dataclass(frozen=True, {options})
class Probe(Aggregator):
    {inside}

    def aggregate(self, updates, view, state):
        return Aggregation(middle(updates)), None
"""
    assert says in failures(tmp_path, text, check=check)[check]


def attack(craft: str = "return view.own, state", more: str = "", knows: str = "OWN") -> str:
    body = textwrap.indent(textwrap.dedent(craft), " " * 8)
    return f'''
@register("probe")
@dataclass(frozen=True, kw_only=True)
class Probe(Attack):
    """Send something."""
{textwrap.indent(textwrap.dedent(more), "    ")}
    @property
    def knowledge(self): return Knowledge.{knows}

    def craft(self, view, state):
{body}
'''


def test_a_sound_attack_passes(tmp_path: Path) -> None:
    assert failures(tmp_path, attack("return -view.own, state"), "attacks") == {}


@pytest.mark.parametrize(
    ("check", "says", "text"),
    [
        ("rows", "not [m, n_params]", attack("return -view.own[:1], state")),
        ("rows", "float64", attack("return -view.own.double(), state")),
        ("finite", "NaN or Inf", attack("return view.own / 0, state")),
        ("any_company", "1 malicious of 12", attack("return view.own - view.own[1], state")),
        ("inputs_unchanged", "changed its view", attack("return view.own.mul_(-1), state")),
        ("repeatable", "other rows", attack("return torch.rand_like(view.own), state")),
        ("no_global_randomness", "torch's global", attack("return torch.rand_like(view.own), state")),
        ("knowledge_respected", "view.honest", attack("hasattr(view, 'honest'); return -view.own, state")),
        ("knowledge_used", "Knowledge.OWN", attack("return -view.own, state", knows="ALL")),
        (
            "knowledge_used",
            "knows_defence",
            attack("return -view.own, state", "knows_defence: ClassVar[bool] = True"),
        ),
        ("category", "honest update is sent", attack()),
        ("category", "does not poison", attack(more="category: ClassVar[str] = 'data'")),
        ("poison", "target 9 of 2", attack(more="def poison(self, view): return Poison(target=9)")),
        (
            "poison",
            "label map (1, 0)",
            attack(more="def poison(self, view): return Poison(label_map=(1, 0))"),
        ),
        (
            "poison",
            "outside 8×8",
            attack(more="def poison(self, view): return Poison(triggers=(Trigger(pixels=((8, 0),)),))"),
        ),
        ("poison", "share 2.0", attack("return view.train(Poison(share=2.0)), state")),
        ("success_is_measurable", "test_trigger", attack(more="category: ClassVar[str] = 'backdoor'")),
        ("strengths", "cannot be made", attack(more="strengths: ClassVar = ('probe', 'probe(x=1)')")),
        ("strengths", "another attack", attack(more="strengths: ClassVar = ('probe', 'zero')")),
        ("strengths", "is written", attack(more="strengths: ClassVar = ('probe', 'probe(start=0)')")),
        ("strengths", "named twice", attack(more="strengths: ClassVar = ('probe', 'probe')")),
        ("strengths", "not among", attack(more="strengths: ClassVar = ('probe(start=1)',)")),
        ("strengths", "no parameter", attack(more="strength_parameter: ClassVar = 'scale'")),
        ("strengths", "no two", attack(more="strength_parameter: ClassVar = 'start'")),
        ("start_and_stop", "is active in rounds", attack(more="def active(self, round): return True")),
    ],
)
def test_a_broken_attack_fails(tmp_path: Path, check: str, says: str, text: str) -> None:
    found = failures(tmp_path, text, "attacks", check)
    assert says in found.get(check, f"nothing; failed: {found}")


def test_an_attack_that_changes_its_state_or_forgets_it_fails(tmp_path: Path) -> None:
    text = """
@dataclass(frozen=True, kw_only=True)
class Memory(State):
    sent: list = field(default_factory=lambda: [torch.zeros(1)])

    def to_tensors(self):
        return {"sent": self.sent[0]}

    def from_tensors(self, tensors):
        return Memory()

""" + attack(
        "state.sent[0] = state.sent[0] + 1; return -view.own * state.sent[0], state",
        "def init_state(self, spec): return Memory()",
    )
    found = failures(tmp_path, text, "attacks")
    assert "round 0 changed the state" in found["repeatable"]
    assert "after a checkpoint" in found["checkpoint"]


def test_an_expected_failure_that_passes_is_a_failure(tmp_path: Path) -> None:
    declared = 'expected_failures: ClassVar[dict[str, str]] = {"scale": "on purpose"}'
    assert (
        "declared to fail: on purpose" in failures(tmp_path, rule("out = middle(updates)", declared))["scale"]
    )


def test_a_declared_failure_is_no_failure(tmp_path: Path) -> None:
    declared = 'expected_failures: ClassVar[dict[str, str]] = {"scale": "on purpose"}'
    found = failures(tmp_path, rule("out = middle(updates.clamp(-0.01, 0.01))", declared))
    assert "scale" not in found
