"""Taking turns: clients on different shares of one store make groups and arrays one after the other.

A lease lets jobs work beside each other on the same channels, each on units of its own. What belongs to the channels as
a whole, their groups, attributes and tables, is looked at and then made, in several steps of Zarr's: between these
another client must not do the same. One object says whose turn it is; a client that died in its turn is passed over,
which its lease tells.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from gravdask.errors import ExecutionError, GravdaskError
from gravdask.store.lease import Lease
from gravdask.store.place import Place

NAME = "making.turn"
"""Beside the leases, and none of them."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.05, 1.0
SETTLE_SECONDS = 1.0
"""So long after a turn was taken from a client that died it is looked whether nobody else took it as well."""
TELL_SECONDS = 10.0


@dataclass(frozen=True)
class Turns:
    """Takes turns with the other clients of a store.

    Attributes
    ----------
    lease
        This client's, which it holds.
    say
        Where it is told that this client waits.
    stop
        When set, waiting ends in an error.
    """

    lease: Lease
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def _place(self) -> Place:
        """The object that says whose turn it is."""
        return self.lease.folder / NAME

    @contextmanager
    def take(self, needed: Callable[[], bool] = lambda: True) -> Iterator[bool]:
        """Wait for this client's turn and hold it while the ``with`` block runs.

        Parameters
        ----------
        needed
            Whether there is anything to do, asked anew in the turn, and whenever another's turn that was waited for is
            over: what it made need not be made again, and of many clients that wait for the same none waits for all.
            Not asked where the lease leaves no other client anything to make.

        Returns
        -------
        needed
            Whether there is; if there is not, the turn may be another's.

        Raises
        ------
        ExecutionError
            If this client is asked to stop while it waits.
        LeaseHeldError
            If its lease was taken away.
        """
        if self.lease.alone:  # what was looked at before stands
            yield True
            return
        while not self._taken():
            self._await_others()
            if not needed():
                yield False
                return
        try:
            yield needed()
        finally:
            # What cannot be removed now is passed over when this client's lease is gone.
            with suppress(OSError, GravdaskError):
                if self._holder() == self.lease.id:
                    self._place.delete()

    def _holder(self) -> str:
        """Client whose turn it is, '' if it is nobody's."""
        try:
            return self._place.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _taken(self) -> bool:
        """Take the turn if it is nobody's, or that of a client that is dead; tell whether it is this one's."""
        mine = self.lease.id
        self.lease.check()  # nothing is begun anew where a store has vanished
        if self._place.create(mine.encode()):
            return True
        now, holder = self._place.stat(), self._holder()
        if holder == mine:  # the answer to its first attempt was lost on its way
            return True
        if now is None or not holder or self.lease.stands(holder) or not self._place.swap(mine.encode(), now.tag):
            return False
        # On a file system another client may have looked before, and taken it a moment after this one.
        time.sleep(SETTLE_SECONDS)
        return self._holder() == mine

    def _await_others(self) -> None:
        """Wait until the turn is over that another client has."""
        first, pause, begun, told = self._holder(), FIRST_WAIT_SECONDS, time.monotonic(), False
        while first and self._holder() == first and self.lease.stands(first):
            if self.stop.wait(pause):
                msg = "stopped as asked, while another client made groups and arrays; run again to continue"
                raise ExecutionError(msg)
            pause = min(2 * pause, LONGEST_WAIT_SECONDS)
            if not told and time.monotonic() - begun > TELL_SECONDS:
                self.say("waiting for another client, which is making groups and arrays of this store")
                told = True
