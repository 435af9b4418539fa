"""The sweep's folder as one object: plan, records, packing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from robustbench_fl.core.files import (
    WriteError,
    atomic,
    read_regular,
    sync_files,
    sync_folder,
    write_atomically,
)
from robustbench_fl.core.places import own_folder
from robustbench_fl.core.record import CellRecord
from robustbench_fl.core.status import FINAL, MISSING
from robustbench_fl.store.aside import set_aside, warn
from robustbench_fl.store.catalogue import Catalogue, ReadNow, fingerprint, pack_lines, read_file
from robustbench_fl.store.claims import refuse_running
from robustbench_fl.store.codec import PACKED, renewed, seal, unseal
from robustbench_fl.store.errors import Damaged, NewerSchema, StoreError, damaged
from robustbench_fl.store.index import LOOSE
from robustbench_fl.store.index import PACKED as IN_PACK
from robustbench_fl.store.lines import write_lines
from robustbench_fl.store.other_data import without_other_data
from robustbench_fl.store.plan_file import (
    PLAN,
    SWEEP,
    read_rows,
    row_of,
    sweep_table,
    write_rows,
    write_sweep,
)
from robustbench_fl.store.stale import CodeOfPlugins
from robustbench_fl.store.versions import told


class Store:
    """One sweep's folder.

    Parameters
    ----------
    folder : Path
        Created when something is first written.
    replan : callable, optional
        Makes the plan anew, from the store and why it is needed; without it a damaged plan is an error.

    What the code of plug-ins means for its cells is in its attribute `code`.
    """

    def __init__(self, folder: Path, replan: Callable[[Store, str], None] | None = None) -> None:
        self.folder = folder
        self._replan = replan
        self.cells = folder / "cells"
        self._catalogue = Catalogue(folder)
        self.code = CodeOfPlugins(folder, self._planned_if_any, self.finished)
        self._sweep_read: bytes | None = b"never read"

    @classmethod
    def existing(cls, folder: Path, replan: Callable[[Store, str], None] | None = None) -> Store:
        """Return the store of a folder that holds a sweep.

        Raises
        ------
        StoreError
            If it does not.
        """
        if not (folder / PLAN).is_file() and not (folder / SWEEP).is_file():
            missing = "it is no folder" if folder.exists() else "it is not there"
            why = f"no {PLAN}" if folder.is_dir() else missing
            raise StoreError(
                f"{str(folder)!r} holds no sweep ({why}). "
                "Give the folder a sweep wrote, such as results/sweep."
            )
        return cls(folder, replan)

    def read_sweep(self) -> dict[str, Any] | None:
        """Return the table of ``sweep.toml``, ``None`` in a new folder.

        Raises
        ------
        StoreError
            If it is damaged, or gone from a folder with a plan or cells.
        """
        path = self.folder / SWEEP
        why: object
        try:
            self._sweep_read = read_regular(path)[0]
            return sweep_table(self._sweep_read)
        except FileNotFoundError:
            self._sweep_read = None
            if not any(os.path.lexists(self.folder / name) for name in (PLAN, PACKED, "cells")):
                return None
            why = "it is gone from a folder that holds a sweep"
        except OSError as error:
            why = error.strerror or error
        except Damaged as error:
            why = f"it {error}. If somebody changed it on purpose, remove its first line"
        raise StoreError(
            f"Cannot read {str(path)!r}: {why}. Restore it or choose another folder. "
            "`robustbench-fl recover` takes it out of the plan, if that holds it."
        )

    def sweep_is_changed(self) -> bool:
        """Whether ``sweep.toml`` is another than this store has read, or was never read."""
        try:
            return read_regular(self.folder / SWEEP)[0] != self._sweep_read
        except OSError:
            return self._sweep_read is not None

    def write_plan(self, sweep: dict[str, Any], planned: Iterable[dict[str, Any]]) -> None:
        """Write the sweep and its plan, unless they are there; a damaged plan that is replaced is said."""
        held, why = self._plan_lines()
        if why and (self.folder / PLAN).exists():
            warn(f"{PLAN} in {str(self.folder)!r} {why}. It is made anew.")
        lines = [seal(row) for row in planned]
        if write_sweep(self.folder / SWEEP, sweep) or lines != held:
            write_rows(self.folder / PLAN, lines)

    def planned(self) -> Iterator[dict[str, Any]]:
        """Yield the planned cells: ``key``, ``cell``, ``labels``, ``facts`` each.

        Raises
        ------
        StoreError
            If the plan is damaged, and cannot be made anew.
        """
        path = self.folder / PLAN
        try:
            lines, why = self._plan_lines()
            if why and self._replan:
                self._replan(self, why)
                lines, why = self._plan_lines()
            if why:
                raise Damaged(why)
            for line in lines:
                yield row_of(line)
        except Damaged as error:
            raise damaged(path, error) from None

    def plan_problem(self) -> str:
        """Return why the plan cannot be trusted, nothing if it can."""
        return self._plan_lines()[1]

    def _plan_lines(self) -> tuple[list[bytes], str]:
        try:
            return read_rows(self.folder / PLAN), ""
        except FileNotFoundError:
            return [], "is not there"
        except Damaged as why:
            return [], str(why)

    def _planned_if_any(self) -> Iterator[dict[str, Any]]:
        return self.planned() if self._replan or (self.folder / PLAN).is_file() else iter(())

    def write(self, record: CellRecord) -> None:
        """Store one record. It appears at once or not at all.

        A file of its name that is not whole is kept under another name.

        Raises
        ------
        WriteError
            If the disk is full or the folder not writable; what is stored stays.
        StoreError
            If the folder holds the record of a later version, which is not replaced.
        """
        own_folder(self.cells)
        self._set_aside(record.key)
        self.write_bytes(f"cells/{record.key}.json", seal(record.model_dump(mode="json")))
        self._catalogue.note(record.key)

    def written_since(self, key: str) -> CellRecord | None:
        """Return the record of `key` if another process stored one since this store was last read.

        An interrupted one is left out: nobody is at it any more.
        """
        if not self._catalogue.is_changed(key):
            return None
        try:
            record = unseal(read_file(self._path(key))[0], key)
        except (Damaged, FileNotFoundError):
            return None
        return None if record["status"] == "interrupted" else CellRecord.model_validate(record)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write the file `name` of this folder atomically."""
        write_atomically(self.folder / name, content)

    def statuses(self) -> dict[str, str]:
        """Return the status of every stored cell by key."""
        self._refresh()
        return {key: head.status for key, head in self._catalogue.heads.items()}

    def reread(self) -> list[tuple[str, str]]:
        """Read every file again, changed or not, and return what :meth:`problems` does."""
        self._catalogue.forget()
        return self.problems()

    def fingerprint(self) -> str:
        """Return a digest that changes whenever the plan or the file of a record does."""
        return fingerprint(self.folder, self.folder / PLAN)

    def problems(self, *, look: bool = True) -> list[tuple[str, str]]:
        """Return what cannot be trusted, files and lines, and why; without a `look`, as of the last one."""
        if look:
            self._catalogue.refresh()
        return self._catalogue.problems

    def stored(self, *, held: bool = False) -> Iterator[dict[str, Any]]:
        """Yield every stored record once; a loose file wins over the packed one.

        What is not whole is skipped with a warning: its cell counts as missing. Those that nobody has checked
        before are read twice, one after another; once, where all are `held` in memory anyway.

        Raises
        ------
        StoreError
            If the packed file is damaged, or a record is of a later schema.
        """
        just_read: ReadNow = {}
        self._refresh(just_read if held else None)
        heads = self._catalogue.heads
        for key in [key for key, head in heads.items() if head.place == LOOSE]:
            if record := just_read.pop((LOOSE, key), None) or self._loose(key):
                yield record
        packed = [(IN_PACK, key) for key, head in heads.items() if head.place == IN_PACK]
        is_read = all(place in just_read for place in packed)
        yield from map(just_read.pop, packed) if is_read else (record for _, record in self._packed())

    def records(self) -> list[dict[str, Any]]:
        """Return one record for every planned cell; those not run have the status ``missing``."""
        stored = {record["key"]: record for record in self.stored(held=True)}
        rows = told(self, without_other_data(self.code.rows(lambda row: stored.get(row["key"]))))
        if stored and all(row["status"] == MISSING for row in rows):
            warn(f"None of the {len(stored)} cells in {str(self.folder)!r} is of its plan.")
        return rows

    def summary(self, key: str) -> dict[str, Any] | None:
        """Return the record of `key` as :meth:`summaries` has it, as of the last look at the folder."""
        return self._catalogue.summary(key) if key in self._catalogue.heads else None

    def summaries(self) -> Iterator[dict[str, Any]]:
        """Yield what :meth:`records` returns faster, without curves, diagnostics, images and tracebacks."""
        self._refresh()
        yield from told(self, without_other_data(self.code.rows(lambda row: self.summary(row["key"]))))

    def finished(self) -> Iterator[dict[str, Any]]:
        """Yield summaries of all finished cells, planned or not."""
        found = self._catalogue.heads.items()
        yield from (self._catalogue.summary(key) for key, head in found if head.status in FINAL)

    def pack(self, *, take_over: bool = False) -> int:
        """Put all cell files into one compressed file; return how many records it holds.

        A packed file that was there already goes into the new one; if some of its lines cannot be
        trusted, it is kept under another name too.

        Raises
        ------
        StoreError
            If the packed file is damaged as a whole, a sweep is running, or the folder changes on the way.
        """
        refuse_running(self.folder, "pack it", take_over=take_over)
        self._refresh()
        heads = dict(self._catalogue.heads)
        loose = [key for key, head in heads.items() if head.place == LOOSE]
        packed = {}
        if len(loose) < len(heads):
            packed = {record["key"]: renewed(line, record) for line, record in self._packed()}

        def lines() -> Iterator[bytes]:
            for key in sorted(heads):
                if heads[key].place == IN_PACK:
                    yield packed[key]
                    continue
                raw, _ = read_file(self._path(key))
                yield renewed(raw, unseal(raw, key))

        self._keep_bad_pack()
        try:
            packed_count = write_lines(self.folder / PACKED, lines(), "pack")
        except (Damaged, FileNotFoundError):
            raise StoreError(f"{str(self.cells)!r} changed while it was packed. Pack it again.") from None
        sync_folder(self.folder)
        for key in loose:
            self._path(key).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.cells.rmdir()
        return packed_count

    def unpack(self, *, take_over: bool = False) -> int:
        """Put every packed record back into a file of its own; return how many there are.

        Raises
        ------
        StoreError
            If there is no packed file, or it is damaged.
        """
        packed = self.folder / PACKED
        if not packed.is_file():
            raise StoreError(f"{str(self.folder)!r} holds no {PACKED} to unpack.")
        refuse_running(self.folder, "unpack it", take_over=take_over)
        self._refresh()
        own_folder(self.cells)
        paths = []
        for line, record in self._packed():
            self._set_aside(record["key"])
            paths.append(self._path(record["key"]))
            with atomic(paths[-1], sync=False) as file:
                file.write(renewed(line, record))
        sync_files(paths)
        sync_folder(self.cells)
        self._keep_bad_pack()
        packed.unlink()
        return len(self._catalogue.heads)

    def drop(self, keys: Iterable[str]) -> None:
        """Remove the records of `keys`, loose and packed: their cells are missing then.

        Raises
        ------
        WriteError
            If the folder cannot be written.
        """
        unwanted = set(keys)
        own_folder(self.cells)
        if unwanted and (self.folder / PACKED).is_file():
            self._catalogue.refresh()
            self._keep_bad_pack()
            lines = [line for line, record in self._packed(overruled=True) if record["key"] not in unwanted]
            write_lines(self.folder / PACKED, lines, "pack")
        for key in unwanted:
            try:
                self._path(key).unlink(missing_ok=True)
            except OSError as error:
                raise WriteError.of(self._path(key), error) from None

    def close(self) -> None:
        """Close the index; it is opened again when it is needed."""
        self._catalogue.close()

    def _refresh(self, read: ReadNow | None = None) -> None:
        self._catalogue.refresh(read)
        for name, why in self._catalogue.problems:
            warn(f"{name} {why}. Its cell counts as missing.")

    def _path(self, key: str) -> Path:
        return self.cells / f"{key}.json"

    def _loose(self, key: str) -> dict[str, Any] | None:
        """Return the record of a file that was found whole, unless it changed since."""
        try:
            return unseal(read_file(self._path(key))[0], key, known=True)
        except FileNotFoundError:
            return None
        except Damaged as why:
            warn(f"cells/{key}.json {why}. Its cell counts as missing.")
            return None

    def _packed(self, *, overruled: bool = False) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield the packed records that count, with their lines; `overruled`: those under loose ones too."""
        heads, bad = self._catalogue.heads, self._catalogue.bad_lines
        seen = set()
        for number, line in enumerate(pack_lines(self.folder), 1):
            if f"line {number}" in bad:
                continue
            record = unseal(line, known=True)
            key = record["key"]
            if key not in seen and (overruled or (key in heads and heads[key].place == IN_PACK)):
                seen.add(key)
                yield line, record

    def _keep_bad_pack(self) -> None:
        """Keep a packed file, under another name too, of which something would be lost."""
        if lines := sorted(self._catalogue.bad_lines):
            aside = set_aside(self.folder / PACKED, keep=True)
            some = ", ".join(lines[:3]) + (" …" if len(lines) > 3 else "")
            warn(f"{PACKED} is kept as {aside.name} too: {some} cannot be trusted.")

    def _set_aside(self, key: str) -> None:
        """Keep what cannot be trusted under another name before its cell is stored anew."""
        path = self._path(key)
        if not os.path.lexists(path):
            return
        try:
            unseal(read_file(path)[0], key)
        except NewerSchema as error:
            raise StoreError(f"cells/{path.name}: {error}") from None
        except FileNotFoundError:
            return
        except Damaged as why:
            aside = set_aside(path)
            warn(f"cells/{path.name} {why}. It is kept as cells/{aside.name}.")
