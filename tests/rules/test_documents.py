"""Documents are complete and point at things that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.spec import read_spec
from deepfakestream.scanning.result import ScanResult
from deepfakestream.settings import Settings

ROOT = Path(__file__).parents[2]
TEN = (
    *("API_DESIGN", "MONITORING", "PRED_EXPLAINABILITY", "DATA", "MODELING"),
    *("TECHNICAL_STACK", "DEPLOYMENT", "DRIFT", "AUGMENTATIONS", "FACE_DETECTION"),
)
MIN_CHARACTERS = 1500
UNFINISHED = re.compile(r"\b(?:TODO|TBD|FIXME|XXX|lorem ipsum|coming soon|placeholder)\b", re.IGNORECASE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w./-])((?:src|flows|bentos|infra|tests|docs)/[\w./*-]+)")
MODULE_PATH = re.compile(r"`((?:\w+/)+\w+\.py)`")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
ALL_TEXT = "\n".join(TEXTS.values())


@pytest.mark.parametrize("name", TEN)
def test_the_ten_documents_exist_and_say_something(name: str) -> None:
    text = TEXTS[f"docs/{name}.md"]
    assert len(text) >= MIN_CHARACTERS
    assert len(re.findall(r"^## ", text, re.MULTILINE)) >= 2


@pytest.mark.parametrize("name", TEXTS)
def test_no_document_is_unfinished(name: str) -> None:
    assert UNFINISHED.findall(TEXTS[name]) == []


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall(TEXTS[name]):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{name}: {target}"


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_paths_exist(name: str) -> None:
    for path in PATH.findall(TEXTS[name]):
        assert any(ROOT.glob(path.rstrip("/."))), f"{name}: {path}"
    for path in MODULE_PATH.findall(TEXTS[name]):
        assert any(ROOT.glob(path)) or any(ROOT.glob(f"src/deepfakestream/**/{path}")), f"{name}: {path}"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    variable = f"DEEPFAKESTREAM_{name.upper()}"
    lines = TEXTS["docs/DEPLOYMENT.md"].splitlines()
    row = next((line for line in lines if line.startswith(f"| `{variable}` |")), "")
    assert row, f"docs/DEPLOYMENT.md: no row for {variable}"
    if field.default is not None:
        default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        assert f"`{default}`" in row


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = set(re.findall(r"DEEPFAKESTREAM_([A-Z0-9_]+)", ALL_TEXT))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def keys() -> Iterator[tuple[str, bool]]:
    """Yield the path of every parameter, and whether its line has a comment."""
    path: list[str] = []
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines():
        found = re.match(r"( *)(\w+):(.*)", line)
        if found:
            indent, name, rest = found.groups()
            path = [*path[: len(indent) // 2], name]
            if rest.partition("#")[0].strip():
                yield ".".join(path), "  # " in rest


PARAMETERS = dict(keys())


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_is_explained(name: str) -> None:
    assert PARAMETERS[name] or f"`{name}`" in ALL_TEXT, f"{name}: comment it in params.yaml, or in docs/"


def test_every_parameter_is_looked_at() -> None:
    def paths(section: dict[str, Any], above: str = "") -> Iterator[str]:
        for name, value in section.items():
            # What stands in braces on one line is one parameter.
            if isinstance(value, dict) and f"{above}{name}" not in PARAMETERS:
                yield from paths(value, f"{above}{name}.")
            else:
                yield f"{above}{name}"

    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert list(PARAMETERS) == list(paths(content))


def test_the_example_of_a_result_has_every_field() -> None:
    text = TEXTS["docs/PRED_EXPLAINABILITY.md"]
    (example,) = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    assert set(example) == {name for name, field in ScanResult.model_fields.items() if not field.exclude}
    ScanResult.model_validate(example)


def test_the_readme_gives_the_figures_of_the_packaged_detector() -> None:
    """AUCs as the card has them, rates as the results of scans state them."""
    readme = TEXTS["README.md"]
    _, _, table = readme.partition("| area under the ROC curve")
    figures = re.findall(r"\b[01]\.\d{3}\b", table.partition("\n\n")[0])
    card = packaged_model_dir().joinpath("MODEL_CARD.md").read_text(encoding="utf-8")
    assert figures
    assert [each for each in figures if each not in card] == []
    spec = read_spec(packaged_model_dir())
    assert spec.expert is not None
    fast, accurate = (each.operating_points["balanced"].by_kind for each in (spec, spec.expert))
    said = re.search(
        r"calls (\d+) of the (\d+) swaps fake, and the accurate one (\d+)\. "
        r"Of the re-enactments they call (\d+) and (\d+) fake",
        readme,
    )
    assert said is not None
    assert [int(each) for each in said.groups()] == [
        fast["swap"].reached, fast["swap"].clips, accurate["swap"].reached,
        fast["re-enactment"].reached, accurate["re-enactment"].reached,
    ]  # fmt: skip


def test_the_readme_names_every_document() -> None:
    for name in TEN:
        assert f"(docs/{name}.md)" in TEXTS["README.md"]


def test_decisions_are_numbered_without_gaps_and_have_the_three_parts() -> None:
    files = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [name[:4] for name in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    for name in files:
        text = TEXTS[f"docs/decisions/{name}"]
        for part in ("**Context.**", "**Decision.**", "**Consequence.**"):
            assert part in text, f"{name}: {part}"
