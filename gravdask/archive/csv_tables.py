"""Tables that people keep by hand: titles as they come, a line a row, and all that is wrong told together."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gravdask.errors import GravdaskError

SEPARATORS = ",;\t|"
"""What may stand between columns; in a table it is the one that its header holds most of."""
MOST_SHOWN = 5
"""So many faults of a table are told, and how many more there are."""


@dataclass(frozen=True)
class Columns:
    """Where the columns of a table are.

    Attributes
    ----------
    separator
        Stands between them.
    names
        What they can be.
    places
        Place in the row of those that the table has.
    """

    separator: str
    names: tuple[str, ...]
    places: Mapping[str, int]

    @classmethod
    def of(cls, header: str, titles: Mapping[str, Sequence[str]]) -> Columns:
        """Find the columns in a header.

        Parameters
        ----------
        header
            The line. Upper and lower case, quotes, blanks and what stands in brackets (a unit, say) do not matter.
        titles
            Titles that each column may have, the likeliest first; a column of the table is given to one name only.
        """
        separator = max(SEPARATORS, key=header.count)
        found = [cell.strip().strip('"').lower() for cell in header.split(separator)]
        found = [title.split("(")[0].split("[")[0].strip().replace(" ", "_") for title in found]
        places: dict[str, int] = {}
        for name, known in titles.items():
            place = next((found.index(title) for title in known if title in found), None)
            if place is not None and place not in places.values():
                places[name] = place
        return cls(separator, tuple(titles), places)

    def cells(self, line: str) -> dict[str, str]:
        """Cells of a row by the name of their column, '' where there is none.

        Raises
        ------
        ValueError
            If the line is no row of a table.
        """
        try:
            cells = next(csv.reader([line], delimiter=self.separator))
        except csv.Error as error:
            msg = f"{line[:60]!r} is no row of a table: {error}"
            raise ValueError(msg) from error
        places = {name: self.places.get(name, len(cells)) for name in self.names}
        return {name: cells[place].strip() if place < len(cells) else "" for name, place in places.items()}


def numbered_lines(path: Path, what: str, error: type[GravdaskError]) -> list[tuple[int, str]]:
    """Lines of a table that are not blank, each with its number.

    Parameters
    ----------
    path
        UTF-8 text.
    what
        What it is, for messages.
    error
        Raised if it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        msg = f"{path}: {what} cannot be read: {fault.strerror or fault}; check the path"
        raise error(msg) from fault
    except UnicodeDecodeError as fault:
        msg = f"{path}: {what} is not UTF-8 text (byte {fault.start}); save it as UTF-8"
        raise error(msg) from fault
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def finite_number(text: str, name: str) -> float:
    """Read a finite number.

    Raises
    ------
    ValueError
        Says what is wrong, with the name of the column.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = " (write a decimal point)" if "," in text else ""
        msg = f"{name} {text!r} is no number{hint}"
        raise ValueError(msg)
    return value


def in_words(faults: Sequence[tuple[int, str]]) -> str:
    """Write faults, each with its line, in the order of their lines: the first few, and how many more there are."""
    shown = [f"line {line}: {what}" for line, what in sorted(faults, key=lambda fault: fault[0])[:MOST_SHOWN]]
    return "; ".join(shown) + (f" (and {len(faults) - MOST_SHOWN} more)" if len(faults) > MOST_SHOWN else "")
