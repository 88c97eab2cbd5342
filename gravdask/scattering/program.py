"""What is done to every batch of a group's windows, written down once as a list of steps.

A step takes a batch in, or applies one wavelet to it; then it says what is pooled, which part of the spectrum whoever
comes next asks for, and what is handed on to the next stage. `driver.run_batches` follows the list without returning to
Python, for the kernels of a step take no longer than a dozen calls from there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.cascade import Group, Node, Shape, Stage, plan
from gravdask.scattering.driver import AS_IT_IS, LOW_PASS, STEP, Tables
from gravdask.scattering.fft import leaf, places, twiddles
from gravdask.scattering.kernel import Tree
from gravdask.scattering.tiles import Pooler

LEVELS_A_STAGE = 2
"""Powers of two from one stage's rate to the next."""


class Reader(NamedTuple):
    """Who finds what in the results.

    Attributes
    ----------
    node
        The node of a step.
    step, parent
        Its number, and that of the step it was made from; -1 for the record.
    """

    node: Node
    step: int
    parent: int


@dataclass(frozen=True)
class Program:
    """The steps of one group in one stage.

    Attributes
    ----------
    stage, group
        The stage and its group.
    steps
        The steps in the order in which they are done, shape (n,) of `STEP`.
    tables
        What they point into.
    readers
        Nodes and their steps, each after the one it was made from.
    rows
        Moments of all tiles of a window, over all steps.
    coarse_place, coarse_turn
        Where the tables for what is handed on begin.
    depths
        Number of spectra that are kept at a time.
    """

    stage: Stage
    group: Group
    steps: NDArray[Any]
    tables: Tables
    readers: tuple[Reader, ...]
    rows: int
    coarse_place: int
    coarse_turn: int
    depths: int


@lru_cache(maxsize=32)
def turns(samples: int) -> NDArray[np.float32]:
    """Cosine and sine of 2 pi k / samples for k up to samples / 2, in pairs."""
    angle = 2.0 * np.pi * np.arange(samples // 2 + 1) / samples
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32).ravel()


@lru_cache(maxsize=8)
def programs(tree: Tree, pooler: Pooler) -> tuple[tuple[Program, ...], ...]:
    """Write down the steps of every group of every stage; kept for the life of the process."""
    stages = plan(tree, Shape(pooler.tile_limit, pooler.tile_wish), pooler.samples)
    return tuple(tuple(_Writer(stage, group, pooler).program() for group in stage.groups) for stage in stages)


@dataclass
class _Shelf:
    """Arrays laid one behind the other, each but once."""

    kind: type
    parts: list[NDArray[Any]] = field(default_factory=list)
    begins: dict[Hashable, int] = field(default_factory=dict)
    size: int = 0

    def put(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> int:
        """Where an array begins."""
        if key not in self.begins:
            part = make().ravel()
            self.begins[key] = self.size
            self.parts.append(part)
            self.size += part.size
        return self.begins[key]

    def array(self) -> NDArray[Any]:
        """All of them."""
        return np.concatenate([*self.parts, np.zeros(1)]).astype(self.kind)


class _Writer:
    """Writes a program."""

    def __init__(self, stage: Stage, group: Group, pooler: Pooler) -> None:
        self.stage, self.group, self.pooler = stage, group, pooler
        self.steps: list[dict[str, int]] = []
        self.readers: list[Reader] = []
        self.rows = 0
        self.values, self.responses, self.weights = _Shelf(np.float32), _Shelf(np.float32), _Shelf(np.float32)
        self.places, self.turns, self.slots = _Shelf(np.int32), _Shelf(np.float32), _Shelf(np.int64)

    def program(self) -> Program:
        """Write down all steps."""
        stage, group = self.stage, self.group
        parent = -1
        if group.order:
            parent = 0
            self.steps.append(
                {"take": 1, "depth": -1} | self._follow(group.nodes, group.slots, stage.samples, 0, group.order)
            )
        for node in group.nodes:
            self._write(node, stage.samples, 0, parent)
        coarse = stage.samples // 4
        coarse_place, coarse_turn = self._tables(coarse // 2, coarse)
        steps = np.zeros(len(self.steps), dtype=STEP)
        for number, step in enumerate(self.steps):
            for name, value in step.items():
                steps[name][number] = value
        shelves = (self.values, self.responses, self.weights, self.places, self.turns, self.slots)
        arrays = (*(shelf.array() for shelf in shelves), *twiddles(stage.samples))
        tables = Tables(**dict(zip(Tables._fields, arrays, strict=True)))
        depths = int(steps["depth"].max(initial=-1)) + 2
        return Program(stage, group, steps, tables, tuple(self.readers), self.rows, coarse_place, coarse_turn, depths)

    def _tables(self, bins: int, samples: int) -> tuple[int, int]:
        """Where the places of ``bins`` bins, and the turns of ``samples`` samples, begin."""
        place = self.places.put(bins, lambda: places(bins))
        return place, self.turns.put(samples, lambda: turns(samples))

    def _write(self, node: Node, bins_in: int, depth: int, parent: int) -> None:
        """Write down a node and those that follow it."""
        bins = self.stage.samples >> node.level
        tiles = self.pooler.window(self.stage, node.level)
        weights = self.pooler.weights_of(self.stage, node.level)
        number = len(self.steps)
        self.readers.append(Reader(node, number, parent))
        self.steps.append(
            {
                "depth": depth,
                "bins_in": bins_in,
                "start": node.start,
                "value": self.values.put(number, lambda: node.values),
                "width": node.values.size,
                "place": self.places.put(bins, lambda: places(bins)),
                "leaf": leaf(bins),
                "moment": self.rows,
                "weight": self.weights.put(node.level, lambda: weights),
            }
            | tiles._asdict()
            | self._follow(node.children, node.slots, bins, node.level, self.group.order + depth + 1)
        )
        self.rows += tiles.rows
        for child in node.children:
            self._write(child, bins, depth + 1, number)

    def _follow(
        self, nodes: tuple[Node, ...], slots: NDArray[np.intp] | None, bins: int, level: int, order: int
    ) -> dict[str, int]:
        """What comes of moduli: wavelets that follow, and what is handed on."""
        reach = [max(1 - n.start, n.start + n.values.size) for n in nodes]
        step = {"bins": bins, "level": level, "order": order}
        if slots is not None:
            # at level 2, moduli are at the next stage's rate already
            passed = level < LEVELS_A_STAGE
            step["hand"] = LOW_PASS if passed else AS_IT_IS
            step["slot"] = self.slots.put(len(self.steps), lambda: slots)
            if passed:
                response = self.stage.responses[False, level]
                step["response"] = self.responses.put(level, lambda: response)
                step["responses"] = response.size
                reach.append(response.size)
        step["needed"] = min(max(reach, default=0), bins // 2 + 1)
        step["half_place"], step["turn"] = self._tables(bins // 2, bins)
        return step
