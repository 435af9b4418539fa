"""How often each test image was classified correctly in a few evaluations, as a short text.

A count from 0 to k takes as many bits as k has. The bits are written image by image, the highest
first, filled with zeros to whole bytes, and these as base64: 10,000 images and five evaluations
take 5 kB.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 65_535
"""Most evaluations that can be counted."""


def packed(counts: NDArray[np.integer], evaluations: int) -> str:
    """Return counts as text.

    Parameters
    ----------
    counts : int array [n_images]
        From 0 to `evaluations`; at least one.
    evaluations : int
        From 1 to 65,535.

    Examples
    --------
    Three counts of two bits each, 01 10 11 and two zeros, are the byte 108:

    >>> import numpy as np
    >>> packed(np.array([1, 2, 3]), 3)
    'bA=='
    """
    import numpy as np

    bits = evaluations.bit_length()
    digits = counts[:, None] >> np.arange(bits - 1, -1, -1) & 1
    return binascii.b2a_base64(np.packbits(digits.astype(np.uint8)).tobytes(), newline=False).decode()


def unpacked(text: str, images: int, evaluations: int) -> NDArray[np.int64]:
    """Return the counts that `text` holds, int64 [images].

    Raises
    ------
    ValueError
        If the text is not what :func:`packed` gives for so many images and evaluations.
    """
    import numpy as np

    bits = evaluations.bit_length()
    digits = np.unpackbits(np.frombuffer(content(text, images, evaluations), dtype=np.uint8))
    counts: NDArray[np.int64] = digits[: images * bits].reshape(images, bits) @ (1 << np.arange(bits)[::-1])
    if digits[images * bits :].any() or counts.max() > evaluations:
        raise ValueError(f"a count is above {evaluations}, the number of evaluations")
    return counts


def content(text: str, images: int, evaluations: int) -> bytes:
    """Return the bytes of `text`, if there are as many as so many images and evaluations take.

    Raises
    ------
    ValueError
        If there are not, or it is no base64.
    """
    if images < 1 or not 1 <= evaluations <= MOST:
        raise ValueError(f"no {images} images can be counted in {evaluations} evaluations")
    size = -(-images * evaluations.bit_length() // 8)
    if len(text) != 4 * -(-size // 3):
        raise ValueError(f"{len(text)} characters are not the counts of {images} images")
    found = binascii.a2b_base64(text, strict_mode=True)
    if len(found) != size:
        raise ValueError(f"{len(found)} bytes are not the counts of {images} images")
    return found
