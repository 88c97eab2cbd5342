"""How kernels are compiled, and kept on disk.

A package of kernels names its modules, takes their `source_digest` when it is imported, and hands it to
`compile_kernel` with every kernel.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import caching

F = TypeVar("F", bound=Callable[..., Any])

# what Numba's own reading of a damaged file ends in
_DAMAGED = (OSError, EOFError, caching.pickle.UnpicklingError)


def source_digest(package: str, modules: Sequence[str]) -> bytes | None:
    """Digest of everything that the kernels of a package are made of, None where only the bytecode was installed.

    To be taken when the package is imported, not when a kernel is first called: the files may have changed by then, and
    what was imported has not.

    Parameters
    ----------
    package
        Name of the package.
    modules
        Modules of the kernels and of what is inlined into them.
    """
    paths = [files(package) / f"{name}.py" for name in modules] + [files("gravdask") / "compiling.py"]
    try:
        return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).digest()
    except OSError:
        return None


class _KernelCache(caching.FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, which knows that kernels hold what they call, and that disks are full or lose files.

    Numba asks only whether the file of a kernel itself has changed.
    """

    def __init__(self, kernel: Callable[..., Any], digest: bytes) -> None:
        super().__init__(kernel)
        self._digest = digest

    def _index_key(self, sig: Any, codegen: Any) -> Any:  # noqa: ANN401
        """Key of a compiled kernel."""
        return (*super()._index_key(sig, codegen), self._digest)

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401
        """Load a kernel, if there is one that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except _DAMAGED:
            # what is damaged makes way for what is compiled next
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ANN401
        """Keep a kernel, if there is room."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


def compile_kernel(kernel: F, digest: bytes | None, *, relaxed: bool = False) -> F:
    """Compile when first called: without the GIL, kept on disk where Numba finds a place to write.

    Parameters
    ----------
    kernel
        A function for Numba.
    digest
        Of the sources of its package; None keeps nothing on disk.
    relaxed
        Whether sums may be taken in any order.
    """
    dispatcher = njit(nogil=True, error_model="numpy", fastmath=relaxed)(kernel)
    # without the compiler there is no dispatcher, and without a writable folder no cache
    if hasattr(dispatcher, "_cache") and digest is not None:
        with contextlib.suppress(RuntimeError, OSError):
            dispatcher._cache = _KernelCache(kernel, digest)
    return cast(F, dispatcher)
