"""Commands for claims: a file a rule that says what it reached, made from a folder, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.options import folder_argument, plugin_option
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.where import Where, here_options, site_of
from robustbench_fl.core.errors import MissingDataError, UsageError, among

if TYPE_CHECKING:
    from robustbench_fl.analysis.claimed import Part
    from robustbench_fl.core.cell import Planned
    from robustbench_fl.core.claim import Claim, Row
    from robustbench_fl.sweep.claimed import Checked
    from robustbench_fl.sweep.runner.processes import MethodProcess

EXIT_WRONG, EXIT_UNCONFIRMED = 1, 4
_SHOWN = 20
_NO_DATA, _FAILED = "no data", "failed"
_MARK = ("name", "digest", "tier")
"""What the cells of one tier of a suite say alike."""
_VERDICTS = {"same": "confirmed", "differs": "differs"}


@click.command("claim")
@folder_argument
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the claims.  [default: results/claims/NAME, by the sweep's name]",
)
@click.option("--rule", "rules", multiple=True, metavar="SPEC", help="Claim this rule only. May be repeated.")
@plugin_option
def claim(folder: Path, out: Path | None, rules: tuple[str, ...], plugins: tuple[Path, ...]) -> None:
    """Write what each rule of a finished sweep reached, a small JSON file a rule.

    A claim holds the rule's row of the leaderboard, every cell behind it, and where they were made.
    check-claim makes the numbers anew from the cells, and runs some of the cells again.
    """
    from robustbench_fl.analysis.claimed import claim_of, rules_of
    from robustbench_fl.analysis.frame import standing
    from robustbench_fl.core.claim_file import write_claim
    from robustbench_fl.report.naming import safe
    from robustbench_fl.sweep.claimed import code_of
    from robustbench_fl.sweep.claimed_suite import suite_faults
    from robustbench_fl.sweep.runner.processes import MethodProcess

    name, parts, suite = _held(folder)
    # A rule that only further blocks of a suite have, such as a tuned one, has no place in its headline.
    known = rules_of(part for part in parts if part.own and part.main)
    for rule in rules:
        if rule not in known:
            raise UsageError(f"{str(folder)!r} has no rule {rule!r}. {among(rule, known)}")
    of_rule: dict[str, dict[str, Any]] = {rule: {} for rule in known}
    for record in (record for part in parts if part.own for record in standing(part.records)):
        identities = record["cell"]["aggregator"]
        if (rule := record["labels"]["aggregator"]) in of_rule:
            of_rule[rule] |= {one["name"]: one for one in identities}
    with MethodProcess(plugins) as methods:
        code = methods.call(code_of, [one for many in of_rule.values() for one in many.values()])
        place = out or Path("results") / "claims" / name
        for rule in rules or known:
            own = {part: code[part] for part in sorted(of_rule[rule])}
            made = claim_of(rule, parts, own, suite)
            if not all(part.own for part in parts):  # a further rule's folder may lack whole blocks
                _require_whole(made, methods.call(suite_faults, made))
            path = place / f"{safe(rule)}.json"
            write_claim(path, made)
            say(f"{rule}: {path}")


def _require_whole(claim: Claim, faults: Sequence[str]) -> None:
    """Refuse a claim that check-claim would refuse for what its suite has beyond it."""
    from robustbench_fl.core.claim import ClaimError
    from robustbench_fl.core.foreign import command

    if faults and claim.suite:
        run = f"suite run {claim.suite.name} --tier {claim.suite.tier} --only-rule"
        raise ClaimError(
            f"{' '.join(faults[:_SHOWN])} A claim holds every block that is run for further rules. Finish "
            f"them: {command('robustbench-fl', *run.split(), claim.rule)}"
        )


def _held(folder: Path) -> tuple[str, list[Part], dict[str, Any] | None]:
    """Return what a folder's claims are called, its sweeps, and the suite that they are of."""
    from robustbench_fl.analysis.claimed import Part
    from robustbench_fl.store.plan_file import SWEEP
    from robustbench_fl.sweep.replan import existing

    blocks = [path.parent for path in sorted(folder.glob(f"*/{SWEEP}"))]
    alone = (folder / SWEEP).is_file() or not blocks
    parts = []
    for place in [folder] if alone else blocks:
        store = existing(place)
        table = store.read_sweep() or {}
        parts.append(Part(str(table.get("name") or place.resolve().name), table, store.records()))
    return (parts[0].name, parts, None) if alone else _in_suite(folder, parts)


def _in_suite(folder: Path, parts: list[Part]) -> tuple[str, list[Part], dict[str, Any] | None]:
    """Return what :func:`_held` does, of the blocks of a suite's tier.

    A folder of one further rule gets the reference's cells from the tier's own results.
    """
    from robustbench_fl.analysis.attack_effect import PLAIN
    from robustbench_fl.analysis.claimed import Part, records_of_rules, rules_of
    from robustbench_fl.sweep.claimed_suite import is_main, known_suite
    from robustbench_fl.sweep.replan import existing
    from robustbench_fl.sweep.suites import stored_at

    records = (record for part in parts for record in part.records)
    made_for = ((record.get("provenance") or {}).get("suite") for record in records)
    marks = {tuple(str(mark.get(key)) for key in _MARK) for mark in made_for if isinstance(mark, dict)}
    if len(marks) != 1:
        raise UsageError(
            f"{str(folder)!r} holds several sweeps, of {len(marks)} suites. Give the folder of one sweep, or "
            "of one tier of a suite."
        )
    name, digest, tier_name = marks.pop()
    suite = known_suite(name.partition(" on ")[0])
    tier = suite.tier(tier_name)
    home = stored_at(tier)
    blocks = {part.name: tier.block(part.name) for part in parts}
    found = [Part(part.name, part.table, part.records, is_main(tier, blocks[part.name])) for part in parts]
    if PLAIN not in rules_of(parts):
        for part in list(found):
            store = existing(home / part.name)
            if plain := records_of_rules(store.records(), [PLAIN]):
                found.append(Part(part.name, store.read_sweep() or {}, plain, part.main, own=False))
    if name != suite.name:  # the same protocol on other data
        return folder.resolve().name, found, None
    mark = {"name": name, "version": suite.version, "digest": digest, "tier": tier_name}
    order = [block.name for block in tier.blocks]
    found.sort(key=lambda part: order.index(part.name))
    return tier.full_name, found, mark


@click.command("check-claim")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    metavar="N",
    help="Number of cells that are run again.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the sample.")
@plugin_option
@here_options
@format_option
def check_claim(
    file: Path, sample: int, seed: int, plugins: tuple[Path, ...], where: Where, format_: str
) -> None:
    """Check a claim: its digests, its numbers, its cells against the plan, and some of them run again.

    On the machine and with the versions that made a cell, it must be the same bit for bit; elsewhere its
    figures must agree to 1e-3. The exit code is 0 if all is confirmed, 1 if anything is wrong, and 4 if
    nothing is, but something cannot be run here: data, a plug-in or a version of a method is missing.
    """
    from robustbench_fl.analysis.claimed import wrong_numbers
    from robustbench_fl.core.claim_file import read_claim
    from robustbench_fl.sweep.claimed import against_plan, code_of, sampled
    from robustbench_fl.sweep.claimed_suite import suite_faults
    from robustbench_fl.sweep.runner.processes import MethodProcess

    claim = read_claim(file)
    _refuse(wrong_numbers(claim))
    with MethodProcess(plugins) as methods:
        try:
            checked = methods.call(against_plan, claim)
            of_suite = methods.call(suite_faults, claim)
        except UsageError as error:
            say(f"The plan of the claim cannot be made here: {error}", err=True)
            _end(0, 0, {"of an unknown plan": len(claim.rows)})
        _refuse([*checked.faults, *of_suite])
        _say_code(claim, methods.call(code_of, [part for form in claim.forms for part in form.identity]))
        rows = sampled(claim, checked, sample, seed)
        again = _run_again(claim, rows, checked, plugins, where, methods)
    shown = [_verdict(claim, row, again.get(row.key)) for row in rows]
    if shown:
        print_rows(shown, format_)
    verdicts = [row["verdict"] for row in shown]
    others = {verdict: verdicts.count(verdict) for verdict in verdicts if verdict not in _VERDICTS.values()}
    _end(verdicts.count("confirmed"), verdicts.count("differs"), others)


def _run_again(
    claim: Claim,
    rows: Sequence[Row],
    checked: Checked,
    plugins: tuple[Path, ...],
    where: Where,
    methods: MethodProcess,
) -> dict[str, Mapping[str, Any] | str]:
    """Return the records of cells that were run again, or why they cannot be, by key."""
    from robustbench_fl.sweep.runner.stopping import Stop

    found: dict[str, Mapping[str, Any] | str] = {}
    cells: list[Planned] = []
    for row in rows:
        if why := checked.others.get(row.key) or _missing(checked.runnable[row.key], where, methods):
            found[row.key] = why
        else:
            cells.append(checked.runnable[row.key])
    if not cells:
        return found
    stop = Stop()
    with site_of(where, cells, plugins, methods) as site, stop.on_signals():
        for record in site.backend(site.environment, None, None).run(cells, stop):
            found[record.key] = record.model_dump(mode="json")
    if stop.requested:
        raise KeyboardInterrupt
    return found


def _missing(planned: Planned, where: Where, methods: MethodProcess) -> str:
    """Say that the data of a cell is not here, or nothing."""
    from robustbench_fl.data.locations import default_data_dir
    from robustbench_fl.sweep.plan import prepare_data

    try:
        methods.call(
            prepare_data,
            [planned.cell.dataset],
            where.data_dir or default_data_dir(),
            download=where.download,
        )
    except MissingDataError as error:
        say(str(error), err=True)
        return _NO_DATA
    return ""


def _verdict(claim: Claim, row: Row, again: Mapping[str, Any] | str | None) -> dict[str, Any]:
    from robustbench_fl.core.claim import METRICS
    from robustbench_fl.core.status import FINAL
    from robustbench_fl.sweep.verify import row as compared

    stated = claim.record(row)
    if isinstance(again, Mapping):
        if again["status"] not in FINAL:
            again = _FAILED
        elif metrics := again.get("metrics"):
            again = {
                **{name: again.get(name) for name in ("status", "provenance", "key", "labels")},
                "metrics": {name: metrics[name] for name in METRICS},
            }
    found = compared({name: stated.get(name) for name in _COMPARED}, again)
    return found | {"verdict": _VERDICTS.get(found["verdict"], f"cannot run: {found['verdict']}")}


_COMPARED = ("key", "labels", "status", "metrics", "provenance")


def _say_code(claim: Claim, code: Mapping[str, str]) -> None:
    for name, digest in claim.code.items():
        if code.get(name) != digest:
            say(f"The code of {name} is another here than it was where the claim was made.", err=True)


def _refuse(faults: Sequence[str]) -> None:
    if not faults:
        return
    for fault in faults[:_SHOWN]:
        say(fault, err=True)
    if len(faults) > _SHOWN:
        say(f"… and {len(faults) - _SHOWN} more", err=True)
    say("Refused: the claim is not what its cells and its plan give.", err=True)
    raise click.exceptions.Exit(EXIT_WRONG)


def _end(confirmed: int, differing: int, others: Mapping[str, int]) -> None:
    """Say what came out, and end with the exit code of it."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in others.items())
    counts = f"{confirmed} sampled cells confirmed, {differing} different" + (f", {counts}" if counts else "")
    if differing:
        say(f"Refused: {counts}.", err=True)
        raise click.exceptions.Exit(EXIT_WRONG)
    if others or not confirmed:
        say(f"Not confirmed: {counts}. Nothing wrong was found.", err=True)
        raise click.exceptions.Exit(EXIT_UNCONFIRMED)
    say(f"Confirmed: {counts}; the numbers are what the rows give, the cells those of the plan.", err=True)
