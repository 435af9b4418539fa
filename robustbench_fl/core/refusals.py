"""What the system refuses a process: memory, open files, a place on the disk. No fault of this program."""

from __future__ import annotations

import errno

from robustbench_fl.core.errors import RobustbenchError

_NO_MEMORY = (
    "can't allocate memory",  # torch on a CPU
    "annot allocate memory",  # the loader of shared libraries, an import under a limit
    "failed to map segment",
    "std::bad_alloc",
    "can't start new thread",
)


def tells_of_no_memory(text: str) -> bool:
    """Whether a message, or what a process printed before it died, is of a refusal of memory."""
    return any(said in text for said in _NO_MEMORY)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether `error`, or what it was raised from, is the system's refusal of memory in any of its forms."""
    while error is not None:
        # The last is torch's, of a GPU; asking torch for it would import it.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError | ImportError | OSError) and tells_of_no_memory(str(error)):
            return True
        error = error.__cause__
    return False


def refusal(error: BaseException) -> RobustbenchError | None:
    """Return what the system refused in a sentence, if that is what `error` is.

    Examples
    --------
    >>> print(refusal(OSError(errno.EMFILE, "Too many open files")))
    The system refused this: Too many open files. What is stored is kept; raise the limit and run it again.
    """
    if is_out_of_memory(error):
        what, why = "more memory", str(error).strip().rpartition("\n")[2] or "there is none"
    elif isinstance(error, OSError):
        what, why = error.filename if error.filename is not None else "this", error.strerror or str(error)
    else:
        return None
    return RobustbenchError(
        f"The system refused {what}: {why}. What is stored is kept; raise the limit and run it again."
    )
