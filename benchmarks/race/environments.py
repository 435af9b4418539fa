"""An environment of its own for each peer, made when it is first needed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from race.peers import Peer

LONGEST = 900
"""Seconds that pip may take."""


class NotInstalled(Exception):
    """A peer that pip could not install; the message holds what pip said last."""


def python_of(peer: Peer, folder: Path, share_torch: bool) -> Path:
    """Return the Python that runs `peer`, in an environment made for it in `folder`.

    Parameters
    ----------
    peer : Peer
        Who.
    folder : Path
        Holds one environment a peer; what is there is used again.
    share_torch : bool
        Whether the environment sees the packages of the Python that runs this, behind its own ones, so that
        torch is not installed once a peer. pip then installs only what is missing or of another version.

    Raises
    ------
    NotInstalled
        If pip fails; nothing half-made is used the next time.
    """
    if not peer.requires:
        return Path(sys.executable)
    place = folder / peer.script
    python, done = place / "bin" / "python", place / "installed.txt"
    wanted = "\n".join([*peer.requires, f"share_torch={share_torch}"])
    if done.exists() and done.read_text() == wanted:
        return python
    venv.create(place, clear=True, with_pip=True)
    if share_torch:
        inside = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        (inside / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requires]
    if peer.without_dependencies and share_torch:
        command.append("--no-deps")
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"pip took more than {LONGEST} s") from error
    if found.returncode:
        raise NotInstalled((found.stderr.strip() or found.stdout.strip()).splitlines()[-1])
    done.write_text(wanted)
    return python
