from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from deepfakestream.errors import WeightsError
from deepfakestream.model.embedding import project
from deepfakestream.model.files import load_network, round_to_half, save_model
from deepfakestream.model.folder import ONNX_FILE, WEIGHTS_FILE, weights_sha256
from deepfakestream.model.half_graph import HALF, single_precision_graph
from deepfakestream.model.network import DetectorNetwork, create_network
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.scorer import CPU_BATCH_SIZE, open_scorer
from deepfakestream.model.spec import SPEC_FILE, DetectorSpec, read_spec

from .conftest import make_spec

SIZE_PX = 64
FILES = (WEIGHTS_FILE, ONNX_FILE, SPEC_FILE)


def _crops(count: int, *, seed: int = 0, size_px: int = SIZE_PX) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size_px, size_px, 3)).astype(np.uint8)


def _torch_logits(directory: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _logits(load_network(directory)[0], crops)


def _logits(network: DetectorNetwork, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network(torch.from_numpy(crops).permute(0, 3, 1, 2).float()).numpy()


class Saved(NamedTuple):
    """A network as saving left it, and where it went."""

    network: DetectorNetwork
    spec: DetectorSpec
    folder: Path


@pytest.fixture(scope="module")
def mirrored(
    tmp_path_factory: pytest.TempPathFactory,
    spec_of: Callable[..., DetectorSpec],
    network_of: Callable[..., DetectorNetwork],
) -> Saved:
    """A mirrored network, saved to a folder that was not there."""
    plain = spec_of()
    spec = plain.model_copy(update={"network": plain.network.model_copy(update={"flip_tta": True})})
    saved = Saved(network_of(spec), spec, tmp_path_factory.mktemp("mirrored") / "new" / "model")
    save_model(*saved)
    return saved


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("variant", "pooling"),
        [
            pytest.param("stacked", "avg", marks=pytest.mark.slow),
            pytest.param("dual", "gwap", marks=pytest.mark.slow),
            pytest.param("ensemble", "avg", marks=pytest.mark.slow),
        ],
    )
    def test_both_files_score_alike(
        self, write_model: Callable[..., Path], variant: str, pooling: str
    ) -> None:
        folder = write_model(variant, pooling=pooling)
        crops = _crops(5)
        found = open_scorer(folder, device="cpu").logits(crops)
        np.testing.assert_allclose(found, _torch_logits(folder, crops), atol=1e-5)

    @pytest.mark.slow
    def test_both_files_score_a_mirrored_network_alike(self, mirrored: Saved) -> None:
        crops = _crops(3)
        scorer = open_scorer(mirrored.folder, device="cpu")
        found = scorer.logits(crops)
        np.testing.assert_allclose(found, _torch_logits(mirrored.folder, crops), atol=1e-5)
        np.testing.assert_allclose(found, scorer.logits(crops[:, :, ::-1]), atol=1e-5)

    @pytest.mark.slow
    def test_saved_network_scores_as_it_is_left(self, mirrored: Saved) -> None:
        crops = _crops(3)
        np.testing.assert_allclose(
            _torch_logits(mirrored.folder, crops), _logits(mirrored.network, crops), atol=1e-6
        )
        assert read_spec(mirrored.folder) == mirrored.spec

    @pytest.mark.slow
    def test_saving_again_gives_the_same_files(self, model_dir: Path, tmp_path: Path) -> None:
        network, spec = load_network(model_dir)
        save_model(network, spec, tmp_path)
        first, second = model_dir, tmp_path
        assert weights_sha256(first) == weights_sha256(second)
        assert (first / ONNX_FILE).read_bytes() == (second / ONNX_FILE).read_bytes()

    def test_holds_what_it_says_and_no_pickle(self, model_dir: Path) -> None:
        assert sorted(path.name for path in model_dir.iterdir()) == sorted(FILES)
        for path in model_dir.iterdir():
            head = path.read_bytes()[:4]
            assert not head.startswith((b"\x80", b"PK")), path.name  # pickle, torch's zip

    def test_weights_take_two_bytes_each(self, model_dir: Path) -> None:
        network, _ = load_network(model_dir)
        numbers = sum(tensor.numel() for tensor in network.state_dict().values())
        assert (model_dir / WEIGHTS_FILE).stat().st_size < 2.2 * numbers
        assert (model_dir / ONNX_FILE).stat().st_size < 2.8 * numbers

    def test_numbers_beyond_half_precision_survive(
        self, spec: DetectorSpec, network_of: Callable[..., DetectorNetwork]
    ) -> None:
        network = network_of(spec)
        with torch.no_grad():
            network.head.bias.fill_(1e6)
        round_to_half(network)
        assert network.head.bias.item() == 1e6

    def test_saved_noise_kernels_leave_nothing_of_a_plain_surface(self, model_dir: Path) -> None:
        """A kernel rounded to half precision left -0.56 of a white surface."""
        network, _ = load_network(model_dir)
        kernels = network.streams["stacked"].view.srm.weight  # type: ignore[union-attr]
        residual = torch.nn.functional.conv2d(torch.full((1, 3, 9, 9), 255.0), kernels)
        assert residual.abs().max().item() < 1e-3


class TestGraph:
    def test_single_precision_graph_has_no_casts_left(self, model_dir: Path) -> None:
        stored = onnx.load_model(model_dir / ONNX_FILE)
        plain = onnx.load_model_from_string(single_precision_graph(model_dir / ONNX_FILE))
        assert any(initializer.name.endswith(HALF) for initializer in stored.graph.initializer)
        assert not any(initializer.name.endswith(HALF) for initializer in plain.graph.initializer)
        assert "Cast" in {node.op_type for node in stored.graph.node}
        assert "Cast" not in {node.op_type for node in plain.graph.node}
        onnx.checker.check_model(plain)

    def test_stored_graph_runs_elsewhere_as_it_is(self, model_dir: Path) -> None:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(model_dir / ONNX_FILE), providers=["CPUExecutionProvider"])
        pixels = np.ascontiguousarray(_crops(2).transpose(0, 3, 1, 2), np.float32)
        (logits,) = session.run(["logits"], {"pixels": pixels})
        np.testing.assert_allclose(logits, open_scorer(model_dir, device="cpu").logits(_crops(2)), atol=1e-5)


class TestScorer:
    def test_no_crops(self, model_dir: Path) -> None:
        logits = open_scorer(model_dir, device="cpu").logits(_crops(0))
        assert (logits.shape, logits.dtype) == ((0,), np.float32)

    @pytest.mark.parametrize("shape", [(1, 32, 32, 3), (1, 64, 64), (1, 3, 64, 64), (0,), (1, 64, 64, 4)])
    def test_wrong_crops(self, model_dir: Path, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"the model takes \(64, 64, 3\)"):
            open_scorer(model_dir, device="cpu").logits(np.zeros(shape, np.uint8))

    def test_an_embedding_is_what_the_head_of_the_network_sees(
        self, model_dir: Path, mirrored: Saved
    ) -> None:
        for folder in (model_dir, mirrored.folder):
            crops = _crops(CPU_BATCH_SIZE + 1)
            scores = open_scorer(folder, device="cpu").scores(crops)
            with torch.inference_mode():
                pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
                features = load_network(folder)[0].features(pixels).numpy()
            assert scores.embeddings is not None
            np.testing.assert_allclose(scores.embeddings, project(features), atol=2e-3)
            np.testing.assert_allclose(scores.logits, _torch_logits(folder, crops), atol=2e-3)

    def test_a_graph_without_a_linear_head_gives_no_embeddings(self, model_dir: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(model_dir, tmp_path / "model"))
        node = onnx.helper.make_node("ReduceMean", ["pixels"], ["logits"], axes=[1, 2, 3], keepdims=0)
        sizes = {"pixels": ["n", 3, SIZE_PX, SIZE_PX], "logits": ["n"]}
        ends = {n: onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in sizes.items()}
        graph = onnx.helper.make_graph([node], "mean", [ends["pixels"]], [ends["logits"]])
        opset = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), folder / ONNX_FILE)
        scores = open_scorer(folder, device="cpu").scores(_crops(2))
        assert scores.logits.shape == (2,)
        assert scores.embeddings is None

    def test_company_does_not_change_a_score(self, model_dir: Path) -> None:
        scorer = open_scorer(model_dir, device="cpu")
        crops = _crops(2 * CPU_BATCH_SIZE + 1)
        together = scorer.logits(crops)
        alone = np.concatenate([scorer.logits(crop[None]) for crop in crops])
        np.testing.assert_allclose(together, alone, atol=1e-5)
        np.testing.assert_allclose(scorer.logits(crops[::-1]), together[::-1], atol=1e-5)

    def test_says_who_it_is(self, model_dir: Path) -> None:
        scorer = open_scorer(model_dir, device="cpu", version="12")
        assert (scorer.info.name, scorer.info.version) == ("deepfakestream-detector", "12")
        assert scorer.info.weights_sha256 == weights_sha256(model_dir)
        assert scorer.spec.extraction.crop_size_px == SIZE_PX

    def test_packaged_model_scores(self) -> None:
        scorer = open_scorer(packaged_model_dir(), device="cpu")
        size_px = scorer.spec.extraction.crop_size_px
        assert np.isfinite(scorer.logits(_crops(1, size_px=size_px))).all()
        assert {"balanced", "low_fpr", "high_recall"} <= set(scorer.spec.operating_points)


class TestDamage:
    @pytest.mark.parametrize("name", FILES)
    def test_missing_file(self, write_model: Callable[..., Path], name: str) -> None:
        folder = write_model()
        (folder / name).unlink()
        with pytest.raises(WeightsError, match=name):
            open_scorer(folder, device="cpu")

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="a model folder holds"):
            open_scorer(tmp_path / "none", device="cpu")
        with pytest.raises(WeightsError, match="a model folder holds"):
            load_network(tmp_path / "none")

    @pytest.mark.parametrize("kept", [0, 100, 20_000])
    def test_truncated_graph(self, write_model: Callable[..., Path], kept: int) -> None:
        folder = write_model()
        path = folder / ONNX_FILE
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(WeightsError, match="not a graph that ONNX Runtime can load"):
            open_scorer(folder, device="cpu")

    @pytest.mark.parametrize("kept", [0, 4, 100, 20_000])
    def test_truncated_weights(self, write_model: Callable[..., Path], kept: int) -> None:
        folder = write_model()
        path = folder / WEIGHTS_FILE
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(WeightsError, match="damaged or of another network"):
            load_network(folder)

    def test_weights_of_another_network(self, write_model: Callable[..., Path]) -> None:
        folder = write_model("stacked")
        other = create_network(make_spec("dual", pooling="gwap").network)
        save_file(other.state_dict(), folder / WEIGHTS_FILE)
        with pytest.raises(WeightsError, match=r"another network than spec\.json says .*Missing key"):
            load_network(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s | {"schema_version": 2}, "schema 1"),
            (lambda s: s | {"surprise": 1}, "surprise"),
            (lambda s: {k: v for k, v in s.items() if k != "calibration"}, "calibration"),
            (lambda s: s | {"network": s["network"] | {"variant": "triple"}}, "variant"),
        ],
    )
    def test_spec_of_another_kind(
        self, write_model: Callable[..., Path], change: Callable[[dict], dict], message: str
    ) -> None:
        folder = write_model()
        path = folder / SPEC_FILE
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
        with pytest.raises(WeightsError, match=message):
            open_scorer(folder, device="cpu")

    def test_a_spec_of_an_earlier_release_is_read(self, write_model: Callable[..., Path]) -> None:
        folder = write_model()
        path = folder / SPEC_FILE
        spec = read_spec(folder)
        content = json.loads(path.read_text())
        network = content["network"]
        for new, old in (("global_pool", "pooling"), ("drop_rate", "dropout"), ("flip_tta", "mirrored")):
            network[old] = network.pop(new)
        path.write_text(json.dumps(content | {"network": network | {"srm_learnable": False}}))
        assert read_spec(folder) == spec

    @pytest.mark.parametrize("content", ["", "{", "[]", "null"])
    def test_spec_that_is_none(self, write_model: Callable[..., Path], content: str) -> None:
        folder = write_model()
        (folder / SPEC_FILE).write_text(content)
        with pytest.raises(WeightsError, match="not a detector spec"):
            read_spec(folder)

    def test_spec_that_is_not_text(self, write_model: Callable[..., Path]) -> None:
        folder = write_model()
        (folder / SPEC_FILE).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(WeightsError, match="not a detector spec"):
            read_spec(folder)

    def test_spec_with_unknown_backbone(self, write_model: Callable[..., Path]) -> None:
        folder = write_model()
        path = folder / SPEC_FILE
        content = json.loads(path.read_text())
        content["network"]["backbone"] = "efficientnet_x"
        path.write_text(json.dumps(content))
        with pytest.raises(WeightsError, match="efficientnet_x"):
            load_network(folder)

    def test_spec_and_graph_of_different_sizes(self, write_model: Callable[..., Path]) -> None:
        folder = write_model()
        path = folder / SPEC_FILE
        content = json.loads(path.read_text())
        content["extraction"]["crop_size_px"] = 96
        path.write_text(json.dumps(content))
        with pytest.raises(WeightsError, match="crops of 96 pixels"):
            open_scorer(folder, device="cpu")


def test_scoring_on_a_cpu_does_not_load_torch(model_dir: Path) -> None:
    code = (
        "import sys, pathlib; from deepfakestream.model.scorer import open_scorer; "
        f"open_scorer(pathlib.Path({str(model_dir)!r}), device='cpu'); "
        "print(sorted({'torch', 'timm', 'onnxscript'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
