"""Public docstrings describe two or more arguments, and state the shapes of arrays and tables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIN_SHARE = 0.9
"""Of the functions concerned; handlers whose arguments a library dictates need no words."""
ARRAY = re.compile(
    r"NDArray|FloatArray|BoolArray|IntArray|RGBImage|Tensor\b|ArrayLike|pd\.(?:DataFrame|Series)"
)
SHAPE = re.compile(r"`\([^`]*\)`|`\([^)]*,|\(N,|one row|a row|[Rr]ows|columns")


def public_functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the public functions and methods of the package with their places."""
    for path in sorted((ROOT / "src" / "deepfakestream").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [
            each for each in tree.body if isinstance(each, ast.ClassDef) and not each.name.startswith("_")
        ]
        bodies = [tree.body, *(each.body for each in classes)]
        for body in bodies:
            for node in body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


FUNCTIONS = dict(public_functions())


def arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """Return what a caller passes."""
    found = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [each for each in found if each.arg not in ("self", "cls")]


def test_arguments_are_described() -> None:
    concerned = {
        place: function
        for place, function in FUNCTIONS.items()
        if len(arguments(function)) >= 2 and not function.decorator_list
    }
    lacking = [place for place, each in concerned.items() if "Args:" not in (ast.get_docstring(each) or "")]
    assert len(concerned) > 100
    assert len(lacking) <= (1 - MIN_SHARE) * len(concerned), "\n".join(lacking)


def test_shapes_of_arrays_and_tables_are_stated() -> None:
    def types(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        written = [*(each.annotation for each in arguments(function)), function.returns]
        return " ".join(ast.unparse(each) for each in written if each is not None)

    concerned = {place: each for place, each in FUNCTIONS.items() if ARRAY.search(types(each))}
    lacking = [place for place, each in concerned.items() if not SHAPE.search(ast.get_docstring(each) or "")]
    assert len(concerned) > 100
    assert len(lacking) <= (1 - MIN_SHARE) * len(concerned), "\n".join(lacking)
