"""The plan of the house: floors, sizes, words and habits, read from the syntax trees of the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gravdask

PACKAGE = Path(gravdask.__file__).parent
FLOORS = (
    {"errors", "secrets"},
    {"grid"},
    {"config", "gaps", "progress", "usage", "compiling"},
    {"archive", "store"},
    {"preprocess", "scattering"},
    {"features", "mixture", "noise", "catalog"},
    {"interpret"},
    {"report"},
    {"execution"},
    {"stages"},
    {"preflight"},
    {"arguments", "pipeline", "simulate", "watching"},
    {"overview", "outcome"},
    {"cli"},
    {"__main__"},
)
"""Names directly below gravdask, lowest first: a module imports from lower floors and from its own package only."""
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
ONLY_IN = {
    "obspy": {"archive", "preprocess", "catalog", "simulate"},
    "matplotlib": {"report"},
    "bokeh": {"report"},
    "dask_jobqueue": {"execution"},
    "dask_mpi": {"execution"},
    "dask_gateway": {"execution"},
    "dask_ml": {"features"},
    "click": {"cli"},
}
"""Libraries that are confined to some names directly below gravdask."""
HEAVY = (
    "dask", "distributed", "obspy", "matplotlib", "xarray", "zarr", "sklearn",
    "pandas", "scipy", "numba", "kymatio", "bokeh", "pyarrow", "dask_ml",
)  # fmt: skip
EXECUTES = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "runpy", "code", "codeop",
    "jsonpickle", "hickle", "yaml", "ruamel",
}  # fmt: skip
"""Libraries that make code of data, or can be had to."""
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
SEVERAL = re.compile(r"\b(?:session|issue|ticket|PR|pull request)s?\s*(?:no\.?|number)?\s*#?\d+", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.~<{}/])/(?:work|home|root|tmp|Users|mnt|scratch|opt|usr)/\w|\b[A-Z]:\\\\?\w")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> dict[str, Path]:
    """Every module of the package by its dotted name; packages by the name of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
NAMES = sorted(SOURCES)


def absolute(module: str, is_package: bool, node: ast.ImportFrom) -> str:
    """Dotted name of the module that an import statement takes from, relative imports resolved."""
    if not node.level:
        return node.module or ""
    base = module.split(".")
    base = base[: len(base) - node.level + (1 if is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports(module: str, tree: ast.AST, is_package: bool = False) -> Iterator[tuple[str, int]]:
    """Yield everything that a module imports anywhere, with its line: in functions and for type checking too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(module, is_package, node)
            if origin == "gravdask":
                yield from ((f"gravdask.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield origin, node.lineno
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(first, ast.Constant):
                yield str(first.value), node.lineno


def floor_breaches(module: str, tree: ast.AST, is_package: bool = False) -> list[str]:
    """Imports of a module that do not come from a lower floor or its own package."""
    own = module.split(".")[1]
    breaches = []
    for name, line in imports(module, tree, is_package):
        parts = name.split(".")
        if parts[0] != "gravdask" or len(parts) == 1 or parts[1] == own:
            continue
        target = parts[1]
        lowest_only = own == "mixture" and target not in {"errors", "compiling"}
        if target == "__version__":
            continue
        if target not in FLOOR_OF or FLOOR_OF[target] >= FLOOR_OF[own] or lowest_only:
            breaches.append(f"{module}:{line} imports {name}")
    return breaches


def confined_breaches(module: str, tree: ast.AST, is_package: bool = False) -> list[str]:
    """Imports of libraries outside the packages that they are confined to."""
    own = module.split(".")[1]
    return [
        f"{module}:{line} imports {name}"
        for name, line in imports(module, tree, is_package)
        if own not in ONLY_IN.get(name.split(".")[0], {own})
    ]


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield all functions and methods, nested ones too."""
    return (n for n in ast.walk(tree) if isinstance(n, Function))


def body_lines(function: Function) -> int:
    """Lines of a function from its def to its end, without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        first = function.body[0]
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def undocumented(module: str, tree: ast.Module) -> list[str]:
    """Public modules, classes, functions and methods without a docstring."""
    missing = [] if ast.get_docstring(tree) else [module]

    def visit(node: ast.Module | ast.ClassDef, prefix: str) -> None:
        for child in node.body:
            if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
                if not ast.get_docstring(child):
                    missing.append(f"{prefix}.{child.name}:{child.lineno}")
                if isinstance(child, ast.ClassDef):
                    visit(child, f"{prefix}.{child.name}")

    visit(tree, module)
    return missing


def broad_handlers(module: str, tree: ast.AST) -> list[str]:
    """Handlers of every exception, outside the one quarantine boundary; those that raise again hide nothing."""
    allowed = {
        id(h)
        for f in functions(tree)
        if (module, f.name) == ("gravdask.execution.units", "guarded")
        for h in ast.walk(f)
        if isinstance(h, ast.ExceptHandler)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler) or id(node) in allowed or isinstance(node.body[-1], ast.Raise):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(k is None or (isinstance(k, ast.Name) and k.id in {"Exception", "BaseException"}) for k in kinds):
            found.append(f"{module}:{node.lineno}")
    return found


def forbidden_habits(module: str, tree: ast.AST) -> list[str]:
    """print, global, code that executes data, arrays that are resized."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.append(f"{module}:{node.lineno} global {', '.join(node.names)}")
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in {"print", "eval", "exec", "compile"}:
                found.append(f"{module}:{node.lineno} {name}()")
            if attribute in {"eval", "read_pickle", "to_pickle", "resize", "breakpoint"}:
                found.append(f"{module}:{node.lineno} .{attribute}()")
            unsafe = {"allow_pickle", "object_codec", "unsafe_pickle"}
            found += [f"{module}:{node.lineno} {k.arg}" for k in node.keywords if k.arg in unsafe]
        # Numba keeps what it compiled for this user in files of this user; it can do so in no other way.
        named = node.attr if isinstance(node, ast.Attribute) else node.name if isinstance(node, ast.alias) else ""
        if named in {"pickles", "Pickle"} or (named == "pickle" and isinstance(node, ast.Attribute)):
            found += [f"{module}:{node.lineno} {named}"] if module != "gravdask.compiling" else []
    found += [f"{module}:{line} {name}" for name, line in imports(module, tree) if name.split(".")[0] in EXECUTES]
    return found


# --- the package obeys ------------------------------------------------------------------------------------------------


def test_every_module_has_a_floor() -> None:
    below = {name.split(".")[1] for name in NAMES if "." in name}
    assert below <= FLOOR_OF.keys(), "name the floor of a new package here and in DESIGN.md"


@pytest.mark.parametrize("module", [n for n in NAMES if n != "gravdask"])
def test_imports_go_down(module: str) -> None:
    is_package = SOURCES[module].name == "__init__.py"
    assert floor_breaches(module, TREES[module], is_package) == []
    assert confined_breaches(module, TREES[module], is_package) == []


@pytest.mark.parametrize("module", NAMES)
def test_sizes(module: str) -> None:
    lines = len(SOURCES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_MODULE_LINES, f"{module} has {lines} lines"
    long = {f"{f.name}:{f.lineno}": n for f in functions(TREES[module]) if (n := body_lines(f)) > MAX_FUNCTION_LINES}
    assert long == {}


@pytest.mark.parametrize("module", NAMES)
def test_what_is_public_is_documented(module: str) -> None:
    assert undocumented(module, TREES[module]) == []


@pytest.mark.parametrize("module", NAMES)
def test_habits(module: str) -> None:
    assert broad_handlers(module, TREES[module]) == []
    assert forbidden_habits(module, TREES[module]) == []


def test_no_words_of_the_workplace() -> None:
    files = [p for p in PACKAGE.rglob("*") if p.suffix in {".py", ".html", ".css", ".js", ".toml", ".csv", ".json"}]
    assert len(files) >= len(NAMES)
    found = []
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if SEVERAL.search(line) or MACHINE_PATH.search(line):
                found.append(f"{path.name}:{number}: {line.strip()[:100]}")
    assert found == []


def test_only_these_packages_touch_dask() -> None:
    may = {"execution", "stages", "mixture", "features", "scattering", "store", "pipeline"}
    users = {
        name.split(".")[1]
        for name in NAMES
        if name != "gravdask"
        for imported, _ in imports(name, TREES[name])
        if imported.split(".")[0] in {"dask", "distributed"}
    }
    assert users <= may


def test_kernels_know_no_dask() -> None:
    """Law 7: the modules that hold the numerics import neither dask nor zarr nor the configuration."""
    kernels = [
        "gravdask.gaps", "gravdask.grid", "gravdask.features.columns", "gravdask.mixture.kernels",
        "gravdask.mixture.em", "gravdask.scattering.kernel", "gravdask.scattering.filters",
        "gravdask.scattering.pooling", "gravdask.noise.spectrum", "gravdask.noise.magnitude",
        "gravdask.preprocess.tides", "gravdask.preprocess.pressure",
    ]  # fmt: skip
    for kernel in kernels:
        names = {name.split(".")[0] for name, _ in imports(kernel, TREES[kernel])}
        assert not names & {"dask", "distributed", "dask_ml", "zarr", "xarray"}, kernel
        assert "gravdask.config" not in {name for name, _ in imports(kernel, TREES[kernel])}, kernel


# --- importing is light -----------------------------------------------------------------------------------------------

PROBE = """
import sys, time
begun = time.perf_counter()
import {module}
seconds = time.perf_counter() - begun
print(seconds, *sorted(sys.modules))
"""


def fresh_import(module: str) -> tuple[float, set[str]]:
    """Seconds that an import takes in a new interpreter, and what it loaded."""
    command = [sys.executable, "-c", PROBE.format(module=module)]
    seconds, *loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), set(loaded)


def test_importing_gravdask_is_light_and_fast() -> None:
    runs = [fresh_import("gravdask") for _ in range(3)]
    assert "gravdask" in runs[0][1]
    assert not runs[0][1] & set(HEAVY)
    assert min(seconds for seconds, _ in runs) < 0.5


def test_the_command_line_loads_heavy_libraries_only_when_needed() -> None:
    assert not fresh_import("gravdask.cli")[1] & set(HEAVY)


def test_a_worker_that_converts_loads_no_library_of_the_later_stages() -> None:
    loaded = fresh_import("gravdask.stages.convert")[1]
    assert {"gravdask", "zarr", "pandas"} <= loaded
    later = {"dask", "distributed", "obspy", "matplotlib", "xarray", "sklearn", "kymatio", "bokeh", "dask_ml"}
    assert not loaded & later
    parts = ("fft", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse", "special", "stats")
    assert not loaded & {f"scipy.{part}" for part in parts}


def test_importing_everything_has_no_side_effect_on_the_folder(tmp_path: Path) -> None:
    modules = [n for n in NAMES if n != "gravdask.__main__"]
    code = "import warnings; warnings.simplefilter('ignore')\n" + "\n".join(f"import {m}" for m in modules)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_public_names_are_lazy_and_complete() -> None:
    assert set(gravdask.__all__) >= {"open", "network", "run"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gravdask.nothing  # type: ignore[attr-defined]


# --- the checks themselves can fail -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("gravdask.store.x", "from gravdask.archive.index import scan"),
        ("gravdask.noise.x", "def f():\n    from gravdask.stages import base"),
        ("gravdask.archive.x", "if TYPE_CHECKING:\n    from gravdask.config import Config\n    import gravdask.cli"),
        ("gravdask.mixture.x", "from gravdask.grid import Rate"),
        ("gravdask.grid", "from gravdask import pipeline"),
        ("gravdask.grid", "importlib.import_module('gravdask.pipeline')"),
        ("gravdask.catalog.x", "from ..noise import day"),
        ("gravdask.errors", "from gravdask.unheard_of import x"),
    ],
)
def test_a_wrong_import_is_found(module: str, code: str) -> None:
    assert len(floor_breaches(module, ast.parse(code))) == 1


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("gravdask.store.x", "from gravdask.grid import Rate\nfrom gravdask.store.layout import open_root"),
        ("gravdask.cli", "import gravdask\nfrom gravdask import __version__"),
        ("gravdask.mixture.x", "from gravdask.errors import MixtureError\nfrom . import kernels"),
        ("gravdask.stages.x", "def f():\n    from gravdask.report import page"),
    ],
)
def test_a_right_import_is_not(module: str, code: str) -> None:
    assert floor_breaches(module, ast.parse(code)) == []


@pytest.mark.parametrize(
    "code",
    [
        "print(1)",
        "def f():\n    global x",
        "import pickle",
        "def f():\n    from joblib import load",
        "eval('1')",
        "exec('1')",
        "np.load(f, allow_pickle=True)",
        "pd.read_pickle(f)",
        "array.resize((3,))",
        "import yaml",
        "zarr.create(3, object_codec=x)",
        "caching.pickle.loads(x)",
        "from numcodecs import Pickle",
        "numcodecs.Pickle()",
    ],
)
def test_a_forbidden_habit_is_found(code: str) -> None:
    assert len(forbidden_habits("gravdask.x", ast.parse(code))) == 1


@pytest.mark.parametrize("kind", ["", " Exception", " BaseException", " (ValueError, Exception)", " Exception as e"])
def test_a_broad_handler_is_found(kind: str) -> None:
    tree = ast.parse(f"def guarded():\n    try:\n        f()\n    except{kind}:\n        pass")
    assert len(broad_handlers("gravdask.pipeline", tree)) == 1
    assert broad_handlers("gravdask.execution.units", tree) == []
    handed_on = ast.parse(f"def g():\n    try:\n        f()\n    except{kind}:\n        h()\n        raise")
    assert broad_handlers("gravdask.pipeline", handed_on) == []


def test_words_and_lengths_are_found() -> None:
    assert SEVERAL.search("see issue #12")
    assert SEVERAL.search("as session 7 found")
    assert not SEVERAL.search("colour #123456 of 3 sessions")
    assert MACHINE_PATH.search('path = "/home/ann/x"')
    assert not MACHINE_PATH.search("divide m/s2 by samples/opt and and/or")
    long = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * 60)
    assert [body_lines(f) for f in functions(long)] == [61]
    assert undocumented("gravdask.x", ast.parse("class A:\n    def b(self): ...\n    def _c(self): ...")) == [
        "gravdask.x",
        "gravdask.x.A:1",
        "gravdask.x.A.b:2",
    ]
