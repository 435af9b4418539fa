"""Time and memory of the aggregation rules, side by side with ByzFL where it has the same rule.

Run ``python benchmarks/rules.py``; ``--size 1000x100k --size 100x1M`` for others than 100 x 100k,
``--size all`` for the four of the table in benchmarks/README.md. Prints one Markdown table a size:
processor time of one thread (the best of several runs, ours and ByzFL's in turn, so that what else
the machine does meets both), the speed-up over the faster of ByzFL's torch and NumPy forms, the time
as a multiple of reading the matrix once (``sum``), the share of it that reading and the arithmetic of the
rule take at least (floors.py), and the peak of extra memory as a multiple of the
matrix, measured in a process of its own. Rules with a memory are measured in their third round, and
what they keep for the next one is told apart from what they need beside it.

``--threads 2`` prints what a second thread is worth instead: the least time by the clock with one thread
and with two, in turn. It asks for a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import multiprocessing
import os
import re
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __name__ == "__main__":  # before NumPy and torch read them
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
import torch
from floors import floor_ms
from peers import PEERS, byzfl, kept_bytes, network, one_round

from robustbench_fl.api.groups import groups
from robustbench_fl.core.errors import InfeasibleError
from robustbench_fl.integrations.threads import at_most

STATUS = Path("/proc/self/status")
"""Linux only; elsewhere (macOS, in bytes) the process's lifetime peak is read."""
SIZES = ("20x10k", "100x100k", "100x1M", "1000x100k")
OTHERWISE = {
    "fedredefense": "benchmarks/reconstruction.py",
    "deepsight": "its time is that of 60,000 samples through every client's network",
    "oracle_mean": "it is mean",
}
"""Rules that are measured only if they are named."""
PRE_AGGREGATED = (
    "nnm > trimmed_mean",
    "nnm > krum(neighbours=n-f-1)",
    "bucketing(s=2) > median",
    "arc > mean",
)
MEMORY = 2
MOST_PEER_SUBSETS = 10**5
"""What ByzFL may walk through for MDA."""
MOST_PEER_BYTES = 6 * 2**30
"""What ByzFL may take of memory; nearest-neighbour mixing makes an [n, n, d] tensor."""
LONG_SECONDS = 2.0
"""A call that takes so long is measured once."""
SHORT_SECONDS, MOST_REPEATS = 0.3, 300
"""For so long, but not more often, short calls are repeated."""
BURST = 5
"""Short calls of the one before it is the other's turn."""
WARM_PARAMETERS = 10_000
"""Size of the round before the one whose memory is measured."""
M_MMAP_THRESHOLD = -3
"""glibc's name for the size from which memory comes from, and goes back to, the system itself."""


@dataclass(frozen=True)
class Size:
    """Clients, parameters, and the fifth of the clients that the server assumes malicious."""

    clients: int
    parameters: int

    @property
    def malicious(self) -> int:
        return self.clients // 5

    @classmethod
    def read(cls, text: str) -> Size:
        match = re.fullmatch(r"(\d+)x(\d+)([kM]?)", text)
        if not match:
            raise argparse.ArgumentTypeError(f"expected such as 100x100k, got {text!r}")
        parameters = int(match[2]) * {"": 1, "k": 1_000, "M": 1_000_000}[match[3]]
        return cls(int(match[1]), network(parameters).n_params)


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    rules = options.rules or default_rules()
    if options.threads:
        for size in options.size:
            print("\n".join(by_threads(rules, size, options.repeats, options.threads)), flush=True)
        return
    # First, while this process has allocated nothing that its children could use again.
    extra = {(text, size): in_own_process(text, size) for size in options.size for text in rules}
    for size in options.size:
        print("\n".join(heading(size)))
        rows = matrix(size)
        floor = best(lambda rows=rows: rows.sum(), 7)
        for text in rules:
            print(line(text, rows, floor, size, options.repeats, extra[text, size]), flush=True)
        print(f"\nFloor (sum): {floor:.2f} ms.\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rules", nargs="*", help="rules to measure; all by default")
    parser.add_argument("--size", action="append", help=f"such as 100x100k; all for {', '.join(SIZES)}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="time with so many beside one")
    options = parser.parse_args()
    asked = options.size or ["100x100k"]
    try:
        options.size = [Size.read(text) for text in (SIZES if asked == ["all"] else asked)]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    return options


def default_rules() -> list[str]:
    """Return every rule of the package, with ByzFL's settings beside the defaults where they differ."""
    own = [name for name in groups("aggregators")["@all"].members if name not in OTHERWISE]
    variants = [text for text in PEERS if "(" in text and ">" not in text]
    return sorted({*own, *variants}) + list(PRE_AGGREGATED)


def by_threads(rules: Sequence[str], size: Size, repeats: int, threads: int) -> Iterator[str]:
    """Yield a table of milliseconds by the clock with one thread and with `threads`."""
    shape = f"{size.clients:,} x {size.parameters:,}"
    yield f"| {shape} | one thread, ms | {threads} threads, ms | ratio | same bits |"
    yield "|---|--:|--:|--:|---|"
    rows = matrix(size)
    for text in rules:
        try:
            round = one_round(text, rows, size.malicious, memory=MEMORY)
        except InfeasibleError:
            continue
        least, answers = {1: math.inf, threads: math.inf}, {}
        for _ in range(repeats):
            for count in least:
                with at_most(count):
                    answers[count] = round()
                    for _ in range(BURST):
                        started = time.perf_counter()
                        round()
                        least[count] = min(least[count], 1e3 * (time.perf_counter() - started))
        one, many = least.values()
        same = torch.equal(answers[1], answers[threads])
        yield f"| `{text}` | {one:.1f} | {many:.1f} | {one / many:.2f} | {'yes' if same else 'no'} |"


def heading(size: Size) -> Iterator[str]:
    yield f"### {size.clients:,} x {size.parameters:,} float32, f = {size.malicious}, one thread"
    if byzfl is None:
        yield "\nByzFL is not installed (pip install byzfl)."
    yield "\n| rule | ms | x sum | least | ByzFL torch / numpy, ms | speed-up | extra memory / input |"
    yield "|---|--:|--:|--:|--:|--:|--:|"


def matrix(size: Size) -> torch.Tensor:
    rows = np.empty((size.clients, size.parameters), np.float32)
    np.random.default_rng(0).standard_normal(dtype=np.float32, out=rows)
    return torch.from_numpy(rows)


def best(call: Callable[[], object], repeats: int) -> float:
    """Return the least processor time in milliseconds, after one run to warm up."""
    return best_in_turn([call], repeats)[0]


def best_in_turn(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the least processor time of each call in milliseconds; they run in turn."""
    first = [seconds(call) for call in calls]
    least = [spent if spent > LONG_SECONDS else math.inf for spent in first]
    short = [i for i, spent in enumerate(first) if spent <= LONG_SECONDS]
    # Calls of microseconds are repeated for a while.
    enough = int(SHORT_SECONDS / max(1e-6, sum(first[i] for i in short))) if short else 0
    for _ in range(max(repeats, min(enough, MOST_REPEATS))):
        for i in short:
            # A few at once, so that a short call does not pay for what the other left in the caches.
            for _ in range(BURST if first[i] < SHORT_SECONDS / 10 else 1):
                least[i] = min(least[i], seconds(calls[i]))
    return [1e3 * spent for spent in least]


def seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def line(
    text: str, rows: torch.Tensor, floor: float, size: Size, repeats: int, extra: tuple[int, int]
) -> str:
    try:
        round = one_round(text, rows, size.malicious, memory=MEMORY)
    except InfeasibleError as error:
        return f"| `{text}` | refused | | | | | {error} |"
    ours, peers, speed_up = times(text, rows, size, round, repeats)
    working, kept = (count / (rows.numel() * rows.element_size()) for count in extra)
    memory = f"{working:.2f}" + (f" + {kept:.2f} kept" if kept > 0.005 else "")
    digits = 1 if ours > 1 else 3
    least = floor_ms(text, rows, best)
    share = "-" if least is None else f"{min(1, least / ours):.0%}"
    return (
        f"| `{text}` | {ours:.{digits}f} | {ours / floor:.1f} | {share} | {peers} | {speed_up} | {memory} |"
    )


def times(
    text: str, rows: torch.Tensor, size: Size, round: Callable[[], object], repeats: int
) -> tuple[float, str, str]:
    """Return our milliseconds, ByzFL's as text, and the speed-up."""
    if byzfl is None or text not in PEERS:
        return best(round, repeats), "-", "-"
    asked = rows.numel() * rows.element_size() * (size.clients if "nnm" in text else 6)
    subsets = math.comb(size.clients, size.malicious)
    if text == "mda" and subsets > MOST_PEER_SUBSETS:
        return best(round, repeats), f"{subsets:.0e} subsets", "-"
    if asked > MOST_PEER_BYTES:
        return best(round, repeats), f"takes {asked / 2**30:.0f} GiB", "-"
    peer = PEERS[text](size.malicious)
    ours, *theirs = best_in_turn([round, partial(peer, rows), partial(peer, rows.numpy())], repeats)
    digits = 1 if ours > 1 else 3
    return ours, " / ".join(f"{spent:.{digits}f}" for spent in theirs), f"{min(theirs) / ours:.1f}"


def in_own_process(text: str, size: Size) -> tuple[int, int]:
    """Return :func:`extra_bytes` of a rule, zeros where it refuses the size."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sending.send(extra_bytes(text, size)))
    process.start()
    sending.close()  # so that a child that is killed ends the waiting
    found: tuple[int, int] = receiving.recv()
    process.join()
    return found


def extra_bytes(text: str, size: Size) -> tuple[int, int]:
    """Return what one round takes of memory, and what of that it keeps for the next one.

    The first is the rise of the peak of this process's resident memory, less the second.
    """
    return_freed_memory()
    # A small round first: code and buffers of libraries that are made on first use are not the rule's.
    try:
        few = min(size.parameters, network(WARM_PARAMETERS).n_params)
        one_round(text, matrix(Size(size.clients, few)), size.malicious, memory=MEMORY)()
        kept = kept_bytes(text, matrix(size), size.malicious)
        call = one_round(text, matrix(size), size.malicious, memory=MEMORY)
    except InfeasibleError:
        return 0, 0
    return_freed_memory()
    reset_peak()
    before = peak_bytes()
    call()
    return max(0, peak_bytes() - before - kept), kept


def return_freed_memory() -> None:
    """Have the allocator give back at once what is freed: what it hoards would hide or swell a need."""
    if STATUS.exists():
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 2**16)
        library.malloc_trim(0)


def reset_peak() -> None:
    """Let the kernel count the peak from here on; a peak may be inherited from the parent."""
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(found.split()[1])


if __name__ == "__main__":
    main()
