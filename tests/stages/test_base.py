"""The digest of contents: of values and not of where they lie, sixteen digits, the published one of nothing."""

from __future__ import annotations

import numpy as np

from gravdask.stages.base import content_digest


def test_the_digest_is_xxh3_of_the_bytes() -> None:
    assert content_digest(np.empty(0, np.int32)) == "2d06800538d394c2"  # XXH3_64bits of no bytes, seed 0
    values = np.arange(-50, 50, dtype=np.int32)
    assert content_digest(np.repeat(values, 2)[::2]) == content_digest(values)
    assert content_digest(values.reshape(20, 5)) == content_digest(values)


def test_any_other_bit_is_another_digest() -> None:
    values = np.arange(64, dtype=np.float64)
    found = {content_digest(values)}
    for k in range(64):
        changed = values.copy()
        changed.view(np.uint64)[k] ^= np.uint64(1 << k)
        found.add(content_digest(changed))
    assert len(found) == 65
    assert all(len(digest) == 16 for digest in found)
