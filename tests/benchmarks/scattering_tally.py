"""Counts the Fourier transforms within the scattering transform, and makes them once more on their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import scattering_peers as peers
import scipy.fft
from numpy.typing import NDArray

from gravdask.scattering import ScatteringNetwork, batches, driver, fft


@dataclass
class Tally:
    """Fourier transforms of one window, to be made once more on their own.

    Attributes
    ----------
    own
        Direction ("inverse" or "forward") and length of each transform of `gravdask.scattering.fft`.
    scipy
        For each of SciPy's the function, the shape and dtype of what it transforms, and its other arguments.
    """

    own: list[tuple[str, int]] = field(default_factory=list)
    scipy: list[tuple[Callable[..., object], tuple[int, ...], Any, tuple[Any, ...], dict[str, Any]]] = field(
        default_factory=list
    )

    def watch(self, kernel: Any) -> Callable[..., object]:
        """Count the transforms of a call that does the steps of some batches."""
        signature = inspect.signature(kernel.py_func)

        def watched(*values: Any) -> object:
            given = signature.bind(*values).arguments
            steps, job = given["steps"], given["job"]
            for _ in range(job.first, job.last):
                for step in steps:
                    if not step["take"]:
                        self.own.append(("inverse", int(step["bins"])))
                    if step["needed"]:
                        self.own.append(("forward", int(step["bins"]) // 2))
                    if step["hand"] == driver.LOW_PASS:
                        self.own.append(("inverse", job.samples // 8))
            return kernel(*values)

        return watched

    def watch_scipy(self, function: Callable[..., object]) -> Callable[..., object]:
        """Count the calls of a function of SciPy."""

        def watched(first: NDArray[Any], *others: Any, **options: Any) -> object:
            self.scipy.append((function, first.shape, first.dtype, others, options))
            return function(first, *others, **options)

        return watched

    def replay(self) -> Callable[[], None]:
        """Make the same transforms in the same order and nothing else, on zeros: they stay zeros, however often."""
        longest = max((bins for _, bins in self.own), default=1)
        buffer = peers.aligned(2 * longest * peers.LANES)
        factors, begins = fft.twiddles(longest)
        kernels = {"inverse": fft.inverse, "forward": fft.forward}
        own = [(kernels[name], bins) for name, bins in self.own]
        zeros = {(shape, kind): np.full(shape, 0, kind) for _, shape, kind, _, _ in self.scipy}
        others = [(f, zeros[shape, kind], more, options) for f, shape, kind, more, options in self.scipy]

        def run() -> None:
            for kernel, bins in own:
                kernel(buffer, 0, bins, factors, begins)
            for function, first, more, options in others:
                function(first, *more, **options)

        return run


def tally_of(network: ScatteringNetwork, window: NDArray[np.float64]) -> Tally:
    """Count the Fourier transforms of one `transform_window`."""
    tally = Tally()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(batches, "run_batches", tally.watch(batches.run_batches)))
        for name in ("rfft", "irfft", "fft", "ifft"):
            stack.enter_context(mock.patch.object(scipy.fft, name, tally.watch_scipy(getattr(scipy.fft, name))))
        network.transform_window(window)
    return tally
