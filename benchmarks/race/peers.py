"""Who takes part in the race, what each needs installed, and how it uses a second worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """One simulator.

    Parameters
    ----------
    name : str
        As the tables write it.
    script : str
        Module of this folder that runs the protocol.
    requires : tuple of str
        What pip installs into its environment; empty where this project's own is used.
    without_dependencies : bool
        Whether pip leaves out what these declare, where they pin another torch than the shared one.
    splits : bool
        Whether two workers share the clients of one simulation. Those that cannot run two simulations
        side by side, one on each core, as one does with the cells of a matrix.
    remark : str
        What the tables say of how it was run.
    """

    name: str
    script: str
    requires: tuple[str, ...] = ()
    without_dependencies: bool = False
    splits: bool = False
    remark: str = ""


PEERS = {
    "ours": Peer("robustbench-fl", "with_ours"),
    "loop": Peer("plain PyTorch loop", "plain_loop", remark="one module and one SGD object, reset a client"),
    "byzfl": Peer(
        "ByzFL",
        "with_byzfl",
        ("byzfl==0.0.11",),
        remark="it keeps a network for every client: 50 `Client` objects get each round's loaders",
    ),
    "pfl": Peer("pfl", "with_pfl", ("pfl[pytorch]==0.6.0",), splits=True),
    "flower": Peer("Flower", "with_flower", ("flwr[simulation]==1.42.0",), splits=True),
    "byzpy": Peer(
        "ByzPy",
        "with_byzpy",
        ("byzpy==0.1.4", "cloudpickle>=2.2,<4"),
        without_dependencies=True,
        splits=True,
        remark="it asks for torch < 2.6 and was given the one of the others",
    ),
}
