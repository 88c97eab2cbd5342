"""Digests of what values follow from: parts of the configuration, names, numbers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from pydantic import BaseModel


def digest(*parts: Any) -> str:  # noqa: ANN401
    """Short stable digest (16 hex digits) of values that JSON can hold; models count by their contents."""
    return hashlib.blake2b(_ENCODER.encode(parts).encode(), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Turn a model, tuple-like or NumPy scalar into what JSON can hold."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, np.generic):
        return value.item()
    msg = f"cannot make a digest of {type(value).__name__}"
    raise TypeError(msg)


_ENCODER = json.JSONEncoder(sort_keys=True, default=_plain, separators=(",", ":"))
