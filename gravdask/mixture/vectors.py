"""Vectors of double-precision numbers, with which the compiled kernels of the mixture are written.

A kernel's inner loops are written down as LLVM's own instructions on vectors of `LANES` rows, held in registers: what
is a Python loop here is unrolled there. A product that is added or subtracted at once may be fused into one rounding;
sums are taken in the order in which they are written. `exponential` and `logarithm` are by range reduction and a
polynomial, correct to about one unit in the last place.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from llvmlite import ir
from numba import config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from gravdask.compiling import compile_kernel, source_digest

KERNELS = ("vectors", "primitives", "compiled")
"""Modules of the kernels and of what is inlined into them."""

F = TypeVar("F", bound=Callable[..., Any])
Builder = Any
"""Where LLVM's instructions are written."""
Word = Any
"""A 64-bit integer of a kernel under construction."""
Scalar = Any
"""A double-precision number of a kernel under construction."""

# now, not when a kernel is first called
_DIGEST = source_digest(__package__, KERNELS)


def compiled(kernel: F) -> F:
    """Compile a kernel when it is first called: without the GIL, kept on disk where there is a place to write."""
    return compile_kernel(kernel, _DIGEST)


def _has_wide_registers() -> bool:
    """Whether the processor that Numba compiles for has 32 registers of eight numbers (AVX-512)."""
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return "+avx512f" in features.split(",")


WIDE = _has_wide_registers()
"""Whether there are 32 registers of eight numbers; else kernels make do with 16 of four."""
LANES = 8 if WIDE else 4
"""Rows that one vector holds."""

_LONG, _INT = ir.IntType(64), ir.IntType(32)
_VECTOR, _BITS = ir.VectorType(ir.DoubleType(), LANES), ir.VectorType(ir.IntType(64), LANES)
_CONTRACT = ("contract",)


def word(value: int) -> Word:
    """A constant integer."""
    return ir.Constant(_LONG, value)


class Lanes:
    """One vector of a kernel under construction; operators write the instruction, numbers stand for all lanes."""

    def __init__(self, builder: Builder, value: Any) -> None:  # noqa: ANN401
        self.builder, self.value = builder, value

    @classmethod
    def constant(cls, builder: Builder, number: float) -> Lanes:
        """Return one number in every lane, known now."""
        return cls(builder, ir.Constant(_VECTOR, [float(number)] * LANES))

    @classmethod
    def spread(cls, builder: Builder, scalar: Any) -> Lanes:  # noqa: ANN401
        """Return one number in every lane, known when the kernel runs."""
        empty = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(empty, scalar, ir.Constant(_INT, 0))
        return cls(builder, builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES)))

    @classmethod
    def of_bits(cls, builder: Builder, bits: Any) -> Lanes:  # noqa: ANN401
        """Return the numbers with these bits."""
        return cls(builder, builder.bitcast(bits, _VECTOR))

    def bits(self) -> Any:  # noqa: ANN401
        """Return the bits, as integers."""
        return self.builder.bitcast(self.value, _BITS)

    def _other(self, other: Lanes | float) -> Any:  # noqa: ANN401
        return other.value if isinstance(other, Lanes) else ir.Constant(_VECTOR, [float(other)] * LANES)

    def __add__(self, other: Lanes | float) -> Lanes:
        """Write a sum."""
        return Lanes(self.builder, self.builder.fadd(self.value, self._other(other), flags=_CONTRACT))

    def __sub__(self, other: Lanes | float) -> Lanes:
        """Write a difference."""
        return Lanes(self.builder, self.builder.fsub(self.value, self._other(other), flags=_CONTRACT))

    def __mul__(self, other: Lanes | float) -> Lanes:
        """Write a product."""
        return Lanes(self.builder, self.builder.fmul(self.value, self._other(other), flags=_CONTRACT))

    def __truediv__(self, other: Lanes | float) -> Lanes:
        """Write a quotient."""
        return Lanes(self.builder, self.builder.fdiv(self.value, self._other(other)))

    def where_below(self, other: Lanes | float, yes: Lanes, no: Lanes) -> Lanes:
        """Take ``yes`` in the lanes below another's, ``no`` in all others, NaN included."""
        below = self.builder.fcmp_ordered("<", self.value, self._other(other))
        return Lanes(self.builder, self.builder.select(below, yes.value, no.value))


class Memory:
    """An array of double-precision numbers, addressed by element; vectors may begin anywhere."""

    def __init__(self, builder: Builder, begin: Any) -> None:  # noqa: ANN401
        self.builder, self.begin = builder, begin

    def _address(self, at: Word) -> Any:  # noqa: ANN401
        return self.builder.bitcast(self.builder.gep(self.begin, [at]), _VECTOR.as_pointer())

    def load(self, at: Word) -> Lanes:
        """Read a vector."""
        return Lanes(self.builder, self.builder.load(self._address(at), align=8))

    def store(self, at: Word, value: Lanes) -> None:
        """Write a vector."""
        self.builder.store(value.value, self._address(at), align=8)

    def add(self, at: Word, value: Lanes) -> None:
        """Add a vector to what is there."""
        self.store(at, self.load(at) + value)

    def spread(self, at: Word) -> Lanes:
        """Read one number into every lane."""
        return Lanes.spread(self.builder, self.builder.load(self.builder.gep(self.begin, [at])))


def loop(
    builder: Builder,
    count: Word,
    step: int,
    state: Sequence[Lanes],
    body: Callable[[Word, list[Lanes]], Sequence[Lanes]],
) -> list[Lanes]:
    """Write ``for i in range(0, count, step): state = body(i, state)`` with the state in registers; return it."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    number = builder.phi(_LONG)
    held = [builder.phi(_VECTOR) for _ in state]
    builder.cbranch(builder.icmp_signed("<", number, count), inside, after)
    builder.position_at_end(inside)
    new = body(number, [Lanes(builder, value) for value in held])
    following = builder.add(number, word(step))
    number.add_incoming(word(0), before)
    number.add_incoming(following, builder.block)
    for value, first, later in zip(held, state, new, strict=True):
        value.add_incoming(first.value, before)
        value.add_incoming(later.value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return [Lanes(builder, value) for value in held]


_ROUND = 1.5 * 2.0**52
"""Added to a number below 2^51 in size it leaves the nearest integer in the last bits."""
_ROUND_BITS = 0x4338_0000_0000_0000
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""ln 2 to 32 bits: times a power's exponent it is exact."""
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_ROOT_HALF_BITS = 0x3FE6_A09E_667F_3BCD
"""The bits of sqrt(1/2)."""
_LEAST_EXPONENT = -708.0
"""Below it `exponential` is 0: numbers less than 3e-308 are denormal or next to it."""


def _repeat(bits: int) -> Any:  # noqa: ANN401
    """One integer in every lane."""
    return ir.Constant(_BITS, [bits] * LANES)


def exponential(x: Lanes) -> Lanes:
    """Write exp(x) for x up to 709: 2^n exp(r) with |r| <= ln 2 / 2, exp(r) by its series to r^13."""
    builder = x.builder
    shifted = x * (1.0 / math.log(2.0)) + _ROUND
    n = shifted - _ROUND
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    series = Lanes.constant(builder, 1.0 / math.factorial(13))
    for order in range(12, -1, -1):
        series = series * r + 1.0 / math.factorial(order)
    # n stands in the last bits of `shifted`; moved up, it is added to the exponent
    power = builder.shl(shifted.bits(), _repeat(52))
    value = Lanes.of_bits(builder, builder.add(series.bits(), power))
    return x.where_below(_LEAST_EXPONENT, Lanes.constant(builder, 0.0), value)


def logarithm(x: Lanes) -> Lanes:
    """Write ln(x) for normal x > 0: n ln 2 + 2 artanh(s) with s = (m - 1) / (m + 1), x = 2^n m, 1/2 <= m^2 <= 2.

    Infinity and NaN stay what they are.
    """
    builder = x.builder
    bits = x.bits()
    n_bits = builder.ashr(builder.sub(bits, _repeat(_ROOT_HALF_BITS)), _repeat(52))
    m = Lanes.of_bits(builder, builder.sub(bits, builder.shl(n_bits, _repeat(52))))
    n = Lanes.of_bits(builder, builder.add(n_bits, _repeat(_ROUND_BITS))) - _ROUND
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    series = Lanes.constant(builder, 2.0 / 23.0)
    for order in range(21, 1, -2):
        series = series * square + 2.0 / order
    value = n * _LN2_HIGH + (s * 2.0 + (s * square * series + n * _LN2_LOW))
    return x.where_below(math.inf, value, x)


@intrinsic  # type: ignore[untyped-decorator]
def pointer(typing: Any, array: Any) -> Any:  # noqa: ANN401
    """Where an array begins: what kernels hand to each other, for arrays would be counted at every step."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


def emitted(write: Callable[..., None]) -> Any:  # noqa: ANN401
    """Make what writes instructions callable from kernels.

    Its first parameter is the builder; kernels give the others: a `pointer` for a `Memory`, an integer for a `Word`, a
    number for a `Scalar`.
    """
    written = inspect.signature(write)
    kinds = [str(parameter.annotation) for parameter in written.parameters.values()][1:]
    plain = {"Word": types.intp, "Scalar": types.float64}

    def call(typing: Any, *given: Any) -> Any:  # noqa: ANN401
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            pairs = zip(kinds, arguments, strict=True)
            write(builder, *(Memory(builder, value) if kind == "Memory" else value for kind, value in pairs))
            return context.get_dummy_value()

        return types.void(*(plain.get(kind, found) for kind, found in zip(kinds, given, strict=True))), generate

    # Numba asks for the parameters by name
    vars(call)["__signature__"] = written
    return intrinsic(call)
