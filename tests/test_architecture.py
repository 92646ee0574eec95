"""What the layout promises: layers, light imports, names that shadow nothing, no code from files."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE_ROOTS = ("datasets", "policies", "sim", "robot_io", "configs")
PACKAGES = ("vla", *(f"{root}/vla_{root}" for root in SOURCE_ROOTS))
TEST_KINDS = {"unit", "property", "contract", "parity", "golden", "faults", "end_to_end"}

CODE_FROM_FILES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
"""Modules that run what a file says."""


PLUG_INS = ("policies/lerobot_plugin/lerobot_policy_vla", "robot_io/lerobot_robot_plugin/lerobot_robot_vla")
"""Distributions of their own, not in the wheel."""


def sources(root: Path, folders: tuple[str, ...] = (*PACKAGES, *PLUG_INS, "benchmarks", "examples")) -> Iterator[Path]:
    for folder in folders:
        yield from (root / folder).rglob("*.py")


# --------------------------------------------------------------------------- layers and imports


def test_the_layers_hold(root: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", ["vla", "vla.interfaces", "vla.embodiment", "vla.commands", "vla.cli"])
def test_the_vocabulary_loads_nothing_heavy(module: str) -> None:
    heavy = ["torch", "mujoco", "gymnasium", "zarr", "av", "cv2", "timm", "transformers"]
    code = f"import sys, {module}; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_loads_no_torch() -> None:
    code = "import sys, vla.commands; vla.commands.main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_robot_io_needs_neither_torch_nor_datasets_nor_simulators(root: Path) -> None:
    modules = [f"vla_robot_io.{path.stem}" for path in (root / "robot_io" / "vla_robot_io").glob("[a-z]*.py")]
    heavy = ["torch", "zarr", "gymnasium", "vla_datasets", "vla_sim"]
    code = f"import sys, {', '.join(modules)}; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --------------------------------------------------------------------------- names and places


@pytest.mark.parametrize("folder", SOURCE_ROOTS)
def test_a_source_root_is_not_a_package(root: Path, folder: str) -> None:
    assert not (root / folder / "__init__.py").exists()
    assert (root / folder / f"vla_{folder}" / "__init__.py").is_file()


def test_tests_are_not_packages(root: Path) -> None:
    assert list((root / "tests").rglob("__init__.py")) == []


def test_test_files_have_unique_names(root: Path) -> None:
    counts = Counter(path.name for path in (root / "tests").rglob("*.py"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_tests_lie_in_folders_by_kind(root: Path) -> None:
    folders = {path.parent.relative_to(root / "tests").parts[:1] for path in (root / "tests").rglob("test_*.py")}
    assert folders - {()} <= {(kind,) for kind in TEST_KINDS}


def test_no_module_is_named_after_what_it_could_shadow(root: Path) -> None:
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    shadows = [str(path.relative_to(root)) for path in sources(root) if path.stem in taken - {"__init__", "__main__"}]
    assert shadows == []


@pytest.mark.parametrize("name", ["utils", "util", "common", "helpers", "misc"])
def test_no_module_is_a_drawer(root: Path, name: str) -> None:
    assert [path for path in sources(root) if path.stem == name] == []


# --------------------------------------------------------------------------- no code from files


def code_from_files(text: str) -> list[str]:
    """Whatever in this source could run what a file says."""
    return [finding for node in ast.walk(ast.parse(text)) for finding in _findings(node)]


def _findings(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (f"import {name.name}" for name in names if name.name.split(".")[0] in CODE_FROM_FILES)
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] in CODE_FROM_FILES:
            yield f"from {module} import"
        case ast.Call(func=ast.Name(id="eval" | "exec" | "__import__" as name)):
            yield f"{name}()"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
            yield "torch.load()"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "unsafe_load" | "full_load" as name)):
            yield f"yaml.{name}()"
        case ast.keyword(arg="trust_remote_code" | "allow_pickle" as name, value=ast.Constant(value=True)):
            yield f"{name}=True"
        case _:
            pass


def test_our_code_runs_nothing_from_files(root: Path) -> None:
    found = {str(path.relative_to(root)): code_from_files(path.read_text(encoding="utf-8")) for path in sources(root)}
    assert {name: findings for name, findings in found.items() if findings} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.memory",
        "eval('1')",
        "exec(text)",
        "torch.load(path)",
        "yaml.load(text, Loader)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_code_from_files_is_noticed(text: str) -> None:
    assert len(code_from_files(text)) == 1


@pytest.mark.parametrize("text", ["model.eval()", "np.load(path, allow_pickle=False)", "yaml.safe_load(text)"])
def test_harmless_namesakes_are_let_through(text: str) -> None:
    assert code_from_files(text) == []
