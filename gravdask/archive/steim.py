"""Steim's compression of MiniSEED records, decoded: both levels, every record checked against its last sample.

A frame is 16 words of 32 bits, big-endian. The first holds 2 bits for each of them; they say how many differences of
consecutive samples share the word. In the first frame of a record the next two words hold its first and last sample.
After the SEED manual 2.4, appendix B.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from gravdask.compiling import compile_kernel, source_digest

FRAME_WORDS = 16
MOST = 8
"""Room for the differences of one word, of which there are 7 at most."""
_WORDS = {
    1: {4: (4, 8), 5: (4, 8), 6: (4, 8), 7: (4, 8), 8: (2, 16), 9: (2, 16), 10: (2, 16), 11: (2, 16)}
    | {12: (1, 32), 13: (1, 32), 14: (1, 32), 15: (1, 32)},
    2: {4: (4, 8), 5: (4, 8), 6: (4, 8), 7: (4, 8), 9: (1, 30), 10: (2, 15), 11: (3, 10)}
    | {12: (5, 6), 13: (6, 5), 14: (7, 4)},
}
"""By level, and by a word's mark with its own two highest bits: how many differences of how many bits it holds."""
_POSITIVE = 2**62 - 1
_DIGEST = source_digest(__package__, ("steim",))


def decode(words: NDArray[np.uint32], data_at: int, samples: NDArray[np.int64], level: int) -> NDArray[np.int32] | None:
    """Decode records one after the other.

    Parameters
    ----------
    words
        The records as numbers of this machine's byte order, shape (records, words of a record).
    data_at
        Word of a record at which its frames begin.
    samples
        Samples of each record, at least 1, shape (records,).
    level
        1 or 2, of Steim.

    Returns
    -------
    samples
        Of all records, shape (sum of samples,); None unless every record held its samples, in words that exist, and
        ended in the last sample that it states.
    """
    total = int(samples.sum())
    out = np.empty(total + MOST, np.int32)
    return out[:total] if _decode(words, data_at, samples, *_table(level), out) else None


@cache
def _table(level: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What a word of each of the 16 codes holds, and the bits by which each of it is shifted up, then all down."""
    count, to_top, to_bottom = np.zeros(16, np.int64), np.full((16, MOST), 63, np.int64), np.zeros(16, np.int64)
    for code, (differences, bits) in _WORDS[level].items():
        count[code], to_bottom[code] = differences, 64 - bits
        to_top[code, :differences] = 63 - bits * np.arange(differences, 0, -1)
    return count, to_top, to_bottom


def _all_records(
    words: NDArray[np.uint32],
    data_at: int,
    samples: NDArray[np.int64],
    count: NDArray[np.int64],
    to_top: NDArray[np.int64],
    to_bottom: NDArray[np.int64],
    out: NDArray[np.int32],
) -> bool:
    """Do what `decode` does.

    Always as many differences are taken as a word can hold, so that the processor need not guess how many it does;
    what was too much is overwritten by the next word.
    """
    at = 0
    for record in range(words.shape[0]):
        begin, stop = at, at + samples[record]
        value = np.int64(0)
        for frame in range(data_at, words.shape[1] - FRAME_WORDS + 1, FRAME_WORDS):
            marks = np.int64(words[record, frame])
            for n in range(3 if frame == data_at else 1, FRAME_WORDS):
                mark = (marks >> (30 - 2 * n)) & 3
                if mark == 0:
                    continue
                word = np.int64(words[record, frame + n]) << 1  # so that a shift by 63 leaves nothing
                code = (4 * mark + (word >> 31)) & 15
                if count[code] == 0:
                    return False
                total, here, down = np.int64(0), at & _POSITIVE, to_bottom[code]
                for k in range(MOST):
                    total += (word << to_top[code, k]) >> down
                    out[here + k] = np.int32(value + total)
                if at == begin:  # the first difference leads here from the record before; the sample itself is stated
                    shift = np.int64(words[record, data_at + 1]) - out[at]
                    for k in range(at, at + MOST):
                        out[k] = np.int32(out[k] + shift)
                    value += shift
                at += count[code]
                value += total
                if at >= stop:
                    break
            if at >= stop:
                break
        if at < stop or np.uint32(out[stop - 1]) != words[record, data_at + 2]:
            return False
        at = stop
    return True


_decode = compile_kernel(_all_records, _DIGEST)
