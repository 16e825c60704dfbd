from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deepfakestream.errors import ParamsError
from deepfakestream.params import Params, load_params
from deepfakestream.sections import read_section
from deepfakestream.service.params import ServeParams
from deepfakestream.training.params import TrainParams

ROOT = Path(__file__).parents[1]
OWN = ROOT / "params.yaml"


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_file_of_the_project_holds_the_defaults() -> None:
    assert load_params(OWN) == Params()


def test_what_the_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    changed = load_params(written(tmp_path, {"train": {"optimisation": {"epochs": 9}}}))
    assert changed.train.optimisation.epochs == 9
    assert changed.model_copy(update={"train": TrainParams()}) == Params()


@pytest.mark.parametrize(
    ("section", "name", "value", "words"),
    [
        ("serve", "operating_point", "balancd", "serve.operating_point"),
        ("drift", "min_window", 201, "min_window needs to be at most window_size"),
    ],
)
def test_parameters_with_which_nothing_would_happen(
    tmp_path: Path, section: str, name: str, value: object, words: str
) -> None:
    content = yaml.safe_load(OWN.read_text(encoding="utf-8"))
    content[section][name] = value
    with pytest.raises(ParamsError, match=words):
        load_params(written(tmp_path, content))


NUMBERS = [
    ("ingest", "min_duration_s"),
    ("ingest.split_fractions", "train"),
    ("extract", "num_frames"),
    ("train.optimisation", "learning_rate"),
    ("train.samples.fake_mix", "swap"),
    ("drift", "num_threshold"),
    ("serve", "max_video_bytes"),
]


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan", "yes", "off", "true", "[yes]"])
@pytest.mark.parametrize(("section", "name"), NUMBERS)
def test_what_is_no_finite_number_is_refused(tmp_path: Path, section: str, name: str, text: str) -> None:
    path = tmp_path / "params.yaml"
    groups = section.split(".")
    lines = [f"{'  ' * depth}{group}:" for depth, group in enumerate(groups)]
    path.write_text("\n".join([*lines, f"{'  ' * len(groups)}{name}: {text}"]))
    with pytest.raises(ParamsError, match=rf"{section}\.{name}"):
        load_params(path)


@pytest.mark.parametrize("text", ["yes", "true", "on"])
def test_yes_is_a_value_of_a_switch(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"train: {{network: {{flip_tta: {text}}}}}")
    assert load_params(path).train.network.flip_tta
    path.write_text(f"train: {{network: {{backbone: {text}}}}}")
    with pytest.raises(ParamsError, match=r"train\.network\.backbone"):
        load_params(path)


@pytest.mark.parametrize("text", ["1e-4", "0.0001", "1.0e-4"])
def test_numbers_may_have_an_exponent(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"train: {{optimisation: {{learning_rate: {text}}}}}")
    assert load_params(path).train.optimisation.learning_rate == 1e-4


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_random_numbers_cannot_start_from(tmp_path: Path, seed: int) -> None:
    content = yaml.safe_load(OWN.read_text(encoding="utf-8"))
    with pytest.raises(ParamsError, match="seed: "):
        load_params(written(tmp_path, content | {"seed": seed}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pooling", "train.network.global_pool"),
        ("dropout", "train.network.drop_rate"),
        ("mirrored", "train.network.flip_tta"),
        ("epochs", "train.optimisation.epochs"),
        ("fake_mix", "train.samples.fake_mix"),
        ("distill", "train.extra.distill"),
        ("area_weight", "was removed"),
        ("srm_learnable", "was removed"),
    ],
)
def test_a_key_of_an_earlier_release_is_refused_with_its_new_place(
    tmp_path: Path, old: str, new: str
) -> None:
    with pytest.raises(ParamsError, match=f"train: '{old}' .*{new}"):
        load_params(written(tmp_path, {"train": {old: 1}}))


def test_every_key_of_an_earlier_release_leads_to_one_that_exists() -> None:
    for sentence in TrainParams.EARLIER.values():
        if place := sentence.partition("is now train.")[2]:
            group, name = place.split(".")
            assert name in type(getattr(TrainParams(), group)).model_fields


def test_a_misspelt_key_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"train\.network\.backbon: unknown .*'backbone'"):
        load_params(written(tmp_path, {"train": {"network": {"backbon": "x"}}}))


def test_a_section_is_read_without_the_others(tmp_path: Path) -> None:
    path = written(tmp_path, {"serve": {"max_concurrency": 2}, "train": {"no": "such key"}})
    assert read_section(path, "serve", ServeParams) == ServeParams(max_concurrency=2)
    with pytest.raises(ParamsError, match=r"serve\.max_concurrency"):
        read_section(written(tmp_path, {"serve": {"max_concurrency": 0}}), "serve", ServeParams)
