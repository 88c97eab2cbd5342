"""Where the blocks of a GGP file begin and end, found in one pass that keeps no rows.

The lines that divide a file begin with one of three words of eight equal digits, ``77777777``, ``99999999`` and
``88888888``; what else there is to know of a block is the line before its first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gravdask.archive.number_rows import line_blocks

BEGINNING = 1 << 20
"""Bytes in which a header ends."""
ROW = re.compile(rb"^[ \t]*\d{8}[ \t]+\d+[ \t]+[-+.\d]", re.MULTILINE)
HEADER_END = re.compile(rb"^C\*{3,}[^\n]*\n?", re.MULTILINE)
TITLES = re.compile(rb"^[ \t]*yyyymmdd[ \t]+hhmmss[^\n]*\n?", re.MULTILINE | re.IGNORECASE)
BLOCK = re.compile(rb"^[ \t]*77777777[^\n]*\n?", re.MULTILINE)
_DIVIDER = re.compile(rb"[ \t]*(77777777|88888888|99999999)")
_WORDS = (b"77777777", b"88888888", b"99999999")


@dataclass(frozen=True)
class Divider:
    """A line that begins or ends a block.

    Attributes
    ----------
    text
        The line, with its end.
    start
        Its first byte within the file.
    line
        Its number within the file, counted from 1.
    before, before_start
        The last line before it that is not blank, and its first byte; empty at the beginning of the file.
    """

    text: bytes
    start: int
    line: int
    before: bytes
    before_start: int

    @property
    def begins(self) -> bool:
        """Whether a block begins here."""
        return self.text.lstrip().startswith(_WORDS[0])

    @property
    def stop(self) -> int:
        """Byte after the line."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class Extent:
    """Where the rows of one block stand.

    Attributes
    ----------
    title
        Line before the block, which names the instrument; empty where there is none.
    offsets
        The line 77777777 with its offsets, empty if there is none.
    line
        Line of the file that begins the block.
    start, stop
        First byte of the rows, and the byte after their last.
    lost
        Rows between the end of this block and the next, which belong to none.
    lost_line
        Line after the end of the block.
    """

    title: bytes
    offsets: bytes
    line: int
    start: int
    stop: int
    lost: int
    lost_line: int


def find_dividers(file: BinaryIO) -> Iterator[Divider]:
    """Yield the lines of a file that begin or end a block, in their order."""
    file.seek(0)
    at, line = 0, 1
    before, before_start = b"", 0
    for block in line_blocks(file):
        done = 0  # what of the block was looked at
        for place in (*_places(block), len(block)):
            above = block[done:place].rstrip()
            if above:
                first = above.rfind(b"\n") + 1
                before, before_start = above[first:], at + done + first
            line += block.count(b"\n", done, place)
            done = place
            if place < len(block):
                text = block[place : block.find(b"\n", place) + 1 or len(block)]
                yield Divider(text, at + place, line, before, before_start)
        at += len(block)


def _places(block: bytes) -> list[int]:
    """First bytes of the lines of a block that are dividers; a pattern alone would look at every line."""
    found = []
    for word in _WORDS:
        place = block.find(word)
        while place >= 0:
            begin = block.rfind(b"\n", 0, place) + 1
            if _DIVIDER.match(block, begin):
                found.append(begin)
            place = block.find(word, place + 1)
    return sorted(set(found))


def find_extents(file: BinaryIO) -> tuple[list[Extent], bytes]:
    """Find the blocks of a file, or the rows that follow its header where it has no blocks.

    Returns
    -------
    extents
        In the order of the file.
    header
        What stands before the first block.
    """
    dividers = list(find_dividers(file))
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(BEGINNING)
    begins = [n for n, divider in enumerate(dividers) if divider.begins]
    header = head[: dividers[begins[0]].start] if begins else head[: dividers[0].start] if dividers else head[:16384]
    if not begins:
        plain = _rows_after_header(head)
        if plain is None:
            return [], header
        return [_extent(file, plain, dividers, None, size)], header
    extents = []
    for number, following in zip(begins, [*begins[1:], None], strict=True):
        closing = dividers[number + 1 : following]
        after = None if following is None else dividers[following]
        extents.append(_extent(file, dividers[number], closing, after, size))
    return extents, header


def _rows_after_header(head: bytes) -> Divider | None:
    """Last line of the header of a file without blocks, if rows follow at once."""
    ends = (*list(HEADER_END.finditer(head))[-1:], *list(TITLES.finditer(head))[-1:])
    mark = next((mark for mark in ends if ROW.match(head, mark.end())), None)
    if mark is None:
        return None
    return Divider(mark[0], mark.start(), head.count(b"\n", 0, mark.start()) + 1, b"", 0)


def _extent(file: BinaryIO, first: Divider, closing: list[Divider], after: Divider | None, size: int) -> Extent:
    """Extent of the block that a line begins.

    Parameters
    ----------
    closing
        Lines before the next block, of which the first that follows ends this one.
    after
        Line that begins the next block.
    size
        Bytes of the file.
    """
    ends = next((divider for divider in closing if divider.start >= first.stop), None)
    until = after.start if after else size
    lost, lost_line = 0, 0
    if ends:
        stop, lost_line = ends.start, ends.line + 1
        file.seek(ends.stop)
        lost = sum(len(ROW.findall(block)) for block in line_blocks(file, until))
    else:  # no line ends it: the last line before the next block is that one's instrument
        stop = max(after.before_start, first.stop) if after else size
    # Where blocks follow each other without a line between them, the line before is the end of the last one.
    title = first.before if first.begins and not _DIVIDER.match(first.before) else b""
    return Extent(title, first.text if first.begins else b"", first.line, first.stop, stop, lost, lost_line)
