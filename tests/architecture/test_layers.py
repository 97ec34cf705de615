"""Architecture rules are tests: layers, what an import may load, what must not stand anywhere."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "bfl_fabric", ROOT / "chaincode" / "bfl_chaincode"]
SOURCES = [
    path for package in PACKAGES for path in sorted(package.rglob("*.py")) if "generated" not in path.parts
]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_import_keeps_to_the_layers() -> None:
    result = run_python(
        "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("module", ["bfl_fabric", "bfl_fabric.domain.ports", "bfl_fabric.config"])
def test_importing_the_package_loads_no_heavy_library(module: str) -> None:
    heavy = "{'torch', 'tenseal', 'grpc', 'sklearn'}"
    result = run_python("-c", f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_the_command_line_answers_without_loading_torch_or_tenseal() -> None:
    code = "import sys, bfl_fabric.cli.application; print(sorted({'torch', 'tenseal'} & set(sys.modules)))"
    result = run_python("-c", code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_keeps_to_the_house_rules(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "marshal", "shelve", "dill"} & set(names), (
                f"{path}:{node.lineno} imports a pickle"
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}, f"{path}:{node.lineno} runs text as code"
    assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}, (
        f"{path} says nothing by its name"
    )
    if path.read_text("utf-8").strip() and path.name != "__main__.py":
        assert ast.get_docstring(tree), f"{path} does not say what it decides"


def test_no_committed_file_names_a_registry_or_a_private_path() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split(
        "\0"
    )
    forbidden = ["/" + "root/", "files." + "pythonhosted.org", "pypi" + ".org/simple"]
    for name in filter(None, files):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".bin", ".png", ".safetensors"}:
            content = path.read_bytes()
            for text in forbidden:
                assert text.encode() not in content, f"{name} contains {text}"
