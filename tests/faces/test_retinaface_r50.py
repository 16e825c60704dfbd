"""The ResNet-50 with random weights: loading, digests, refusals, shapes; no trained weights ship with us."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deepfakestream.errors import ParamsError, WeightsError
from deepfakestream.faces import retinaface_r50
from deepfakestream.faces.detectors import open_detector
from deepfakestream.faces.retinaface import ALGORITHM
from deepfakestream.faces.retinaface_r50 import open_r50, read_state_dict
from deepfakestream.faces.weights_file import detector_digest


def random_like(name, tensor):
    if tensor.ndim == 4:
        return torch.randn(tensor.shape) * (0.5 / tensor[0].numel()) ** 0.5
    is_scale = name.endswith(("running_var", "1.weight", "2.weight", "3.weight"))
    return (torch.rand(tensor.shape) * 0.1 + is_scale).to(tensor.dtype)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("r50") / "random.pth"
    shapes = retinaface_r50._build().state_dict()
    state = {name: random_like(name, tensor) for name, tensor in shapes.items()}
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def r50(checkpoint):
    return open_detector("retinaface_r50", weights=checkpoint, device="cpu")


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_heads_have_the_shapes_of_the_priors(r50, checkpoint):
    assert r50.name == "retinaface_r50"
    assert r50.digest == detector_digest(hashlib.sha256(checkpoint.read_bytes()).hexdigest(), ALGORITHM)
    loc, scores, landmarks = r50._network(np.zeros((2, 96, 129, 3), dtype=np.uint8))
    num_priors = 2 * (12 * 17 + 6 * 9 + 3 * 5)
    assert (loc.shape, scores.shape) == ((2, num_priors, 4), (2, num_priors))
    assert landmarks.shape == (2, num_priors, 10)
    assert 0 <= scores.min() <= scores.max() <= 1


@pytest.mark.filterwarnings(
    "ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than:UserWarning"
)
def test_network_sees_what_the_library_shows_it(r50, checkpoint, astronaut):
    """Our preprocessing against the library's own transform."""
    from retinaface.predict_single import Model
    from retinaface.utils import tensor_from_rgb_image

    picture = astronaut[:96, :128]
    model = Model(max_size=128)
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    model.eval()
    with torch.no_grad():
        theirs = model.model(tensor_from_rgb_image(model.transform(image=picture)["image"]).unsqueeze(0))
    ours = r50._network(picture[None])
    assert ours[0] == pytest.approx(theirs[0].numpy(), abs=1e-3)
    assert ours[1] == pytest.approx(theirs[1].softmax(-1)[..., 1].numpy(), abs=1e-4)
    assert ours[2] == pytest.approx(theirs[2].numpy(), abs=1e-3)


def test_detect_runs_from_picture_to_list(r50):
    found = r50.detect([np.zeros((64, 64, 3), dtype=np.uint8)])
    assert len(found) == 1


def test_zip_and_safetensors_hold_the_same_tensors(tmp_path):
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    plain, zipped, tensors = (tmp_path / name for name in ("w.pth", "w.zip", "w.safetensors"))
    torch.save(state, plain)
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(plain, "w.pth")
    save_file(state, tensors)
    for path in (plain, zipped, tensors):
        found, digest = read_state_dict(path)
        assert {name: tensor.tolist() for name, tensor in found.items()} == {
            "a": [[0, 1, 2], [3, 4, 5]],
            "b": 3,
        }
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_digest_in_the_name_is_checked(tmp_path):
    plain = tmp_path / "plain.pth"
    torch.save({"a": torch.zeros(2)}, plain)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    right = plain.rename(tmp_path / f"weights-{digest[:9]}.pth")
    assert read_state_dict(right)[1] == digest
    zipped = tmp_path / f"archive-{digest[:9]}.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(right, "weights.pth")
    assert list(read_state_dict(zipped)[0]) == ["a"]
    wrong = right.rename(tmp_path / "weights-0123456789.pth")
    with pytest.raises(WeightsError, match="does not begin with 0123456789"):
        read_state_dict(wrong)


def test_download_goes_to_torchs_cache_and_is_used_again(checkpoint, torch_home):
    url = checkpoint.as_uri()
    first = open_r50(None, device="cpu", url=url)
    assert (torch_home / "random.pth").is_file()
    second = open_r50(None, device="cpu", url="file:///nowhere/random.pth")
    assert first.digest == second.digest


def test_no_weights_and_no_way_to_get_them_is_one_clear_sentence(torch_home, tmp_path):
    with pytest.raises(WeightsError, match="DEEPFAKESTREAM_RETINAFACE_R50_WEIGHTS"):
        open_r50(None, device="cpu", url=(tmp_path / "none-0123456789.zip").as_uri())
    assert list(torch_home.iterdir()) == []


class Payload:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "not a checkpoint"),
        (lambda path: path.write_bytes(b"no checkpoint"), "not a checkpoint"),
        (lambda path: torch.save({"a": Payload()}, path), "not a checkpoint"),
        (lambda path: torch.save([1, 2], path), "not a checkpoint"),
        (
            lambda path: torch.save({"body.conv1.weight": torch.zeros(1)}, path),
            "not retinaface-pytorch's ResNet-50",
        ),
    ],
    ids=["empty", "text", "code", "list", "other network"],
)
def test_other_files_are_refused(tmp_path, make, message, capsys):
    path = tmp_path / "weights.pth"
    make(path)
    with pytest.raises(WeightsError, match=message):
        open_r50(path, device="cpu")
    assert "run" not in capsys.readouterr().out


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pth: "):
        open_r50(tmp_path / "none.pth", device="cpu")


def test_unknown_detector_is_named():
    with pytest.raises(ParamsError, match=r"'haar' .*retinaface_mnet025"):
        open_detector("haar", weights=None, device="cpu")
