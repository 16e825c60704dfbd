"""Sections of `params.yaml`: their base class, common types of values, and errors that name the remedy.

Each package has a module `params` with its section; `deepfakestream.params` puts them together.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from deepfakestream.errors import ParamsError
from deepfakestream.frozen import Strict

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Values = TypeVar("Values", bound=BaseModel)


class Section(Strict):
    """Base of every section: frozen, no key may be misspelt, and numbers are finite."""

    EARLIER: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier releases, and what became of each."""

    model_config = ConfigDict(allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_earlier_keys(cls, content: Any) -> Any:
        if isinstance(content, Mapping):
            found = [f"'{key}' {cls.EARLIER[key]}" for key in content if key in cls.EARLIER]
            if found:
                raise ValueError("; ".join(found))
        return content

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would read `yes` as 1; YAML reads yes, no, on and off as true and false."""
        values = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(each, bool) for each in values):
            annotation = cls.model_fields[str(info.field_name)].annotation
            if annotation is not bool and bool not in get_args(annotation):
                raise ValueError(
                    "is true or false (YAML also reads yes, no, on, off so); write a number or text"
                )
        return value


def read_params(path: Path, model: type[Values]) -> Values:
    """Return a whole `params.yaml`.

    Args:
        path: the file.
        model: of its content.

    Raises:
        ParamsError: the file cannot be read, is not YAML, or a key is unknown, missing or out of range.
    """
    return _validated(path, model, _read_yaml(path), ())


def read_section(path: Path, name: str, model: type[Values]) -> Values:
    """Return one section of a `params.yaml`; what else is in the file is not looked at.

    Args:
        path: the file.
        name: of the section; where it is missing, its defaults are in force.
        model: of the section.

    Raises:
        ParamsError: as for `read_params`.
    """
    content = _read_yaml(path)
    section = content.get(name, {}) if isinstance(content, dict) else content
    return _validated(path, model, section, (name,))


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path}: no such file; run in a workspace, or make one with 'deepfakestream init'"
        ) from error
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror}); make it a readable file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML ({error}); correct the file") from error


def _validated(path: Path, model: type[Values], content: Any, above: tuple[str, ...]) -> Values:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        sentences = "; ".join(_explain(model, each, above) for each in error.errors())
        raise ParamsError(f"{path}: {sentences}") from error


def _explain(model: type[BaseModel], error: Any, above: tuple[str, ...]) -> str:
    where = ".".join(str(part) for part in (*above, *error["loc"])) or "the file"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}"
    wrong = str(error["loc"][-1])
    near = difflib.get_close_matches(wrong, known_keys(model), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "; remove it"
    return f"{where}: unknown parameter{hint}"


def known_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model and of the sections in it."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation)
    return keys
