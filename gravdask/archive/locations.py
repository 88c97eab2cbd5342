"""Where a file of an archive is: below a folder of this machine, or behind an address such as ``s3://bucket/prefix``.

An address stays text: `pathlib` would make ``s3:/bucket`` of it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)(?:::|://)")
_LOCAL = "file://"


def is_url(text: Path | str) -> bool:
    """Whether a text is the address of something that is not a file of this machine."""
    return bool(_SCHEME.match(str(text))) and not str(text).startswith(_LOCAL)


def scheme_of(url: str) -> str:
    """First part of an address, for example ``s3``."""
    match = _SCHEME.match(url)
    return match[1] if match else ""


def normal_root(root: Path | str) -> str:
    """Absolute path of a folder, or an address without a slash at its end."""
    text = str(root)
    if is_url(text):
        bare = text.rstrip("/")
        return text if bare.endswith(":") else bare
    return os.path.abspath(os.path.expanduser(text.removeprefix(_LOCAL)))


def join(root: str, path: str) -> str:
    """Full path or address of a file below a root."""
    if not path:
        return root
    return f"{root}{path}" if root.endswith("/") else f"{root}/{path}"


def join_all(roots: list[str], paths: list[str]) -> list[str]:
    """Full path or address of many files, each below its root."""
    prefix = {root: join(root, "x")[:-1] for root in set(roots)}
    return [prefix[root] + path for root, path in zip(roots, paths, strict=True)]


def as_location(text: str) -> Path | str:
    """Give the path of a local file as `Path`, an address as it is."""
    return text if is_url(text) else Path(text)


def within(location: str, root: str) -> bool:
    """Whether a file or folder is a root or lies below it."""
    return location == root or location.startswith(join(root, "") if root.endswith("/") else f"{root}/")
