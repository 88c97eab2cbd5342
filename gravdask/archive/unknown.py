"""What a file that no reader knows seems to be, in the words of a person who looks into it."""

from __future__ import annotations

import re

_MAGIC = (
    (b"\x1f\x8b", "compressed (gzip): unpack it"),
    (b"BZh", "compressed (bzip2): unpack it"),
    (b"\xfd7zXZ", "compressed (xz): unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd): unpack it"),
    (b"PK\x03\x04", "a ZIP archive (or NumPy's .npz, a spreadsheet, a document): unpack what are records in it"),
    (b"\x93NUMPY", "an array of NumPy, without times or a channel"),
    (b"\x89HDF", "an HDF5 or NetCDF file"),
    (b"CDF", "a NetCDF file"),
    (b"%PDF", "a document (PDF)"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"SQLite format 3", "a database (SQLite)"),
)
_CATALOGUE = "an earthquake catalogue: name it with --catalog"
_PLACES = {"lat", "lon"}
_MAGNITUDES = {"mag", "magnitude", "mw"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?$")


def seems_to_be(head: bytes) -> str:
    """Say what the first bytes of a file look like; '' where nothing is known of them.

    Parameters
    ----------
    head
        The first few thousand bytes.
    """
    for magic, words in _MAGIC:
        if head.startswith(magic):
            return words
    if not head.strip(b"\0"):
        return "nothing but zeros: a file whose content was lost; fetch it again" if head else "empty"
    if b"\0" in head:
        return ""
    return _text(head.decode("utf-8", errors="replace"))


def _text(text: str) -> str:
    """Say what a text looks like."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0].lower() if lines else ""
    if first.startswith("<"):
        return _CATALOGUE if "quakeml" in text.lower() else "XML, but no StationXML"
    words = (word.strip(" #") for word in re.split(r"[,;\t|]", first))
    columns = {word.replace("latitude", "lat").replace("longitude", "lon") for word in words}
    if _is_ndk(lines) or (columns >= _PLACES and columns & _MAGNITUDES):
        return _CATALOGUE
    if first.startswith(("{", "[")) and not first.startswith("[tsf"):
        return "JSON"
    # the last line may be cut off by the end of what is looked at
    rows = [re.split(r"[,;\t| ]+", line) for line in lines[:-1] or lines]
    numeric = sum(sum(bool(_NUMBER.match(word)) for word in row) >= 2 for row in rows)
    if rows and numeric > len(rows) / 2:
        return "a table of numbers: if it is a record, an entry [[archive.tables]] tells how it is read"
    return "text, but no record"


def _is_ndk(lines: list[str]) -> bool:
    """Whether lines begin like a catalogue of centroid moment tensors."""
    return bool(lines) and re.match(r"[A-Z ]{3,5}\s*\d{4}/\d\d/\d\d \d\d:\d\d", lines[0]) is not None
