"""Vectors of sixteen single-precision numbers for compiled kernels.

The engine transforms sixteen windows at a time. Window number l lies in lane l of every vector, so that one instruction
does the same to sixteen windows and a permutation of bins moves whole cache lines. `load` and `store` address a flat
float32 array, by the `pointer` to it, in units of vectors; ``+``, ``-`` and ``*`` work lane by lane, and a product that
is added or subtracted at once may be fused into one rounding. LLVM turns the vectors into whatever the processor has:
one AVX-512 register, two of AVX, four of SSE or NEON.

`compiled` and `inlined` are Numba's ``njit`` with the options that every kernel here needs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

from gravdask.compiling import compile_kernel, source_digest

LANES = 16
"""Windows that are transformed together."""

KERNELS = ("lanes", "butterflies", "fft", "fused", "sums", "medians", "certify", "records", "driver")
"""Modules of the kernels and of what is inlined into them."""

F = TypeVar("F", bound=Callable[..., Any])
Vector = Any
"""A vector, in the signatures of kernels."""
Singles = NDArray[np.float32]
"""A flat array of single-precision numbers, addressed in vectors."""
Pointer = Any
"""Where such an array begins, in the signatures of what kernels call."""

_SINGLE = ir.VectorType(ir.FloatType(), LANES)


class VectorType(types.Type):  # type: ignore[misc]
    """Numba's type of a vector: sixteen float32 in one value."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector(float32 x {LANES})")


VECTOR = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is LLVM's own vector."""

    def __init__(self, manager: Any, front_end_type: Any) -> None:  # noqa: ANN401
        super().__init__(manager, front_end_type, _SINGLE)


# now, not when a kernel is first called
_DIGEST = source_digest(__package__, KERNELS)


def compiled(kernel: F) -> F:
    """Compile a kernel when it is first called: without the GIL, kept on disk where there is a place to write."""
    return compile_kernel(kernel, _DIGEST)


def compiled_relaxed(kernel: F) -> F:
    """`compiled`, and sums may be taken in any order."""
    return compile_kernel(kernel, _DIGEST, relaxed=True)


def inlined(kernel: F) -> F:
    """Make a kernel a part of whatever calls it."""
    return cast(F, njit(nogil=True, error_model="numpy", forceinline=True)(kernel))


def embedded(kernel: F) -> F:
    """Make a kernel a part of the one that does all steps: compiled there, and not once more before."""
    return cast(F, njit(nogil=True, error_model="numpy", inline="always")(kernel))


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:  # noqa: ANN401
    """Make an array of zeros that begins on a cache line, as vectors like it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, dtype=np.uint8)
    begin = -raw.ctypes.data % 64
    array: NDArray[Any] = raw[begin : begin + size].view(dtype).reshape(shape)
    return array


def _address(builder: Any, pointer: Any, index: Any) -> Any:  # noqa: ANN401
    """Address of vector number ``index``."""
    element = builder.gep(pointer, [builder.mul(index, ir.Constant(index.type, LANES))])
    return builder.bitcast(element, _SINGLE.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def pointer(typing: Any, array: Any) -> Any:  # noqa: ANN401
    """Where a flat array begins: what kernels hand to each other, for arrays would be counted at every step."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


def _spread(builder: Any, scalar: Any) -> Any:  # noqa: ANN401
    """One number in every lane."""
    empty = ir.Constant(_SINGLE, ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, index: Any) -> Any:  # noqa: ANN401
    """Vector number ``index`` of a flat float32 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        address = _address(builder, arguments[0], arguments[1])
        return builder.load(address, align=4)

    return VECTOR(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:  # noqa: ANN401
    """Write a vector to place ``index`` of a flat float32 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        address = _address(builder, arguments[0], arguments[1])
        builder.store(arguments[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), generate


def _transposed(builder: Any, vectors: list[Any]) -> list[Any]:  # noqa: ANN401
    """Turn sixteen vectors into sixteen others: number t of vector l becomes number l of vector t."""
    values = list(vectors)
    kind = ir.VectorType(ir.IntType(32), LANES)
    step = 1
    while step < LANES:
        # exchange the off-diagonal blocks of step x step in all blocks twice that size
        low = ir.Constant(kind, [i + LANES - step if i & step else i for i in range(LANES)])
        high = ir.Constant(kind, [i + LANES if i & step else i + step for i in range(LANES)])
        for i in range(LANES):
            if not i & step:
                a, b = values[i], values[i + step]
                values[i], values[i + step] = builder.shuffle_vector(a, b, low), builder.shuffle_vector(a, b, high)
        step *= 2
    return values


def _row(builder: Any, rows: Any, begins: Any, lane: int, offset: Any) -> Any:  # noqa: ANN401
    """Address of element ``begins[lane] + offset``."""
    begin = builder.load(builder.gep(begins, [ir.Constant(ir.IntType(64), lane)]))
    element = builder.gep(rows, [builder.add(begin, offset)])
    return builder.bitcast(element, _SINGLE.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def interleave(typing: Any, rows: Any, begins: Any, offset: Any, target: Any, index: Any) -> Any:  # noqa: ANN401
    """Lay sixteen samples of each of sixteen rows side by side.

    Elements ``begins[lane] + offset + t`` of ``rows`` become lane by lane the vectors ``index + t`` of ``target``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        source, starts, shift = arguments[:3]
        rows = [builder.load(_row(builder, source, starts, lane, shift), align=4) for lane in range(LANES)]
        for t, vector in enumerate(_transposed(builder, rows)):
            at = builder.add(arguments[4], ir.Constant(ir.IntType(64), t))
            builder.store(vector, _address(builder, arguments[3], at), align=4)
        return context.get_dummy_value()

    return types.void(rows, begins, types.intp, target, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def separate(typing: Any, source: Any, index: Any, stride: Any, rows: Any, begins: Any, offset: Any) -> Any:  # noqa: ANN401
    """Undo `interleave`: vectors ``index + t stride`` become elements ``begins[lane] + offset + t`` of ``rows``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        vectors = []
        for t in range(LANES):
            at = builder.add(arguments[1], builder.mul(arguments[2], ir.Constant(ir.IntType(64), t)))
            vectors.append(builder.load(_address(builder, arguments[0], at), align=4))
        for lane, row in enumerate(_transposed(builder, vectors)):
            at = _row(builder, arguments[3], arguments[4], lane, arguments[5])
            builder.store(row, at, align=4)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, rows, begins, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, scalar: Any) -> Any:  # noqa: ANN401
    """One number in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return _spread(builder, arguments[0])

    return VECTOR(types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def root(typing: Any, value: Any) -> Any:  # noqa: ANN401
    """Square root, correctly rounded."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        kind = ir.FunctionType(_SINGLE, [_SINGLE])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32")
        return builder.call(function, arguments)

    return VECTOR(VECTOR), generate


@intrinsic  # type: ignore[untyped-decorator]
def larger(typing: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    """The larger of two numbers in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return VECTOR(VECTOR, VECTOR), generate


@intrinsic  # type: ignore[untyped-decorator]
def smaller(typing: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    """The smaller of two numbers in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.select(builder.fcmp_ordered("<", *arguments), *arguments)

    return VECTOR(VECTOR, VECTOR), generate


@intrinsic  # type: ignore[untyped-decorator]
def below(typing: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    """1 in every lane where the first number is less than the second, else 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        one, none = ir.Constant(_SINGLE, [1.0] * LANES), ir.Constant(_SINGLE, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered("<", *arguments), one, none)

    return VECTOR(VECTOR, VECTOR), generate


def _arithmetic(name: str) -> Any:  # noqa: ANN401
    """Make the intrinsic of a lane-by-lane operation; "contract" allows a product and a sum to share one rounding."""

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typing: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            return getattr(builder, name)(*arguments, flags=("contract",))

        return VECTOR(VECTOR, VECTOR), generate

    return operation


_add, _subtract, _multiply = _arithmetic("fadd"), _arithmetic("fsub"), _arithmetic("fmul")


def _vectors(a: Any, b: Any) -> bool:  # noqa: ANN401
    """Whether both operands are vectors."""
    return isinstance(a, VectorType) and isinstance(b, VectorType)


@overload(operator.add)
def _overload_add(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return (lambda a, b: _add(a, b)) if _vectors(a, b) else None


@overload(operator.sub)
def _overload_subtract(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return (lambda a, b: _subtract(a, b)) if _vectors(a, b) else None


@overload(operator.mul)
def _overload_multiply(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return (lambda a, b: _multiply(a, b)) if _vectors(a, b) else None
