"""Commands that need an extra of the package say which one, where it is not installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from deepfakestream.errors import MissingExtraError

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def needs(*extras: str) -> Callable[[Callable[Arguments, Value]], Callable[Arguments, Value]]:
    """Return a decorator for a command whose imports come with extras of the package.

    Args:
        extras: names of the extras, as in `pip install 'deepfakestream[NAME]'`.

    Raises:
        MissingExtraError: by the command: one of its imports is not installed.
    """

    def decorate(command: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
        @wraps(command)
        def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
            try:
                return command(*args, **kwargs)
            except ModuleNotFoundError as error:
                module = (error.name or "").split(".")[0]
                if module in {"", "deepfakestream", "flows", "bentos"}:
                    raise
                raise MissingExtraError(module, extras) from error

        run.__dict__["extras"] = extras
        return run

    return decorate
