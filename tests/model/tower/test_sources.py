"""Where the tower comes from: known files only, whole or not at all."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deepfakestream.errors import WeightsError
from deepfakestream.model.tower.sources import (
    NUM_TENSORS,
    ORIGINAL,
    TowerSource,
    fetch_tower,
    find_tower,
    read_tower,
    tower_path,
)
from deepfakestream.model.tower.torchscript import NUM_BLOCKS, read_image_tower

WIDTH = 8


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 2)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 4 * WIDTH))
        self.mlp.add_module("c_proj", nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.ln_1(x))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block() for _ in range(NUM_BLOCKS)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resblocks(x)


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 4, stride=4, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn(5, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Transformer()
        self.proj = nn.Parameter(torch.randn(WIDTH, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.transformer(self.ln_pre(x))


class Clip(nn.Module):
    """The parts of OpenAI's module that the reader asks for, under their names."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = Visual()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.visual(x)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Clip]:
    torch.manual_seed(0)
    clip = Clip().half().eval()
    path = tmp_path_factory.mktemp("clip") / "ViT-B-16.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the archive was written by a PyTorch of its time
        torch.jit.save(torch.jit.script(clip), path)
    return path, clip


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Address of a server on this machine, and what it answers by path; 404 for others."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("content-length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    thread.join()
    server.server_close()


def source_of(url: str, content: bytes) -> TowerSource:
    return replace(ORIGINAL, url=url, sha256=hashlib.sha256(content).hexdigest())


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_archive_is_read_without_its_code(original):
    path, clip = original
    tensors = read_image_tower(path)
    state = {name: tensor.float().numpy() for name, tensor in clip.visual.state_dict().items()}
    assert len(tensors) == NUM_TENSORS
    np.testing.assert_array_equal(tensors["cls_token"][0, 0], state["class_embedding"])
    np.testing.assert_array_equal(tensors["patch_embed.proj.weight"], state["conv1.weight"])
    last = f"transformer.resblocks.{NUM_BLOCKS - 1}."
    np.testing.assert_array_equal(tensors["blocks.11.attn.qkv.weight"], state[last + "attn.in_proj_weight"])
    np.testing.assert_array_equal(tensors["blocks.11.mlp.fc2.bias"], state[last + "mlp.c_proj.bias"])
    np.testing.assert_array_equal(tensors["norm.weight"], state["ln_post.weight"])


def test_a_download_is_kept_in_half_precision_and_read_again(original, served, tmp_path):
    path, _ = original
    address, files = served
    files["/tower.pt"] = path.read_bytes()
    source = source_of(f"{address}/tower.pt", path.read_bytes())
    kept = fetch_tower(tmp_path, download=source)
    assert kept == tower_path(tmp_path) == find_tower(tmp_path)
    assert left_in(tmp_path) == [kept]
    tower, read = read_tower(kept), read_image_tower(path)
    assert set(tower) == set(read) - {"proj"}
    assert all(tensor.dtype == np.float32 for tensor in tower.values())
    np.testing.assert_array_equal(tower["blocks.3.norm1.weight"], read["blocks.3.norm1.weight"])
    files.clear()
    assert fetch_tower(tmp_path, download=source) == kept, "what is there is not downloaded again"


@pytest.mark.parametrize("content", [b"another file", b""])
def test_other_bytes_than_asked_for_leave_nothing(content, served, tmp_path):
    address, files = served
    files["/tower.pt"] = content
    with pytest.raises(WeightsError, match=ORIGINAL.sha256):
        fetch_tower(tmp_path, download=replace(ORIGINAL, url=f"{address}/tower.pt"))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("url", ["{}/missing.pt", "http://127.0.0.1:9/nobody-listens.pt"])
def test_a_failed_download_says_so_and_leaves_nothing(url, served, tmp_path):
    with pytest.raises(WeightsError, match="--from"):
        fetch_tower(tmp_path, download=replace(ORIGINAL, url=url.format(served[0])))
    assert left_in(tmp_path) == []


def test_an_unknown_file_is_refused(tmp_path):
    other = tmp_path / "other.pt"
    other.write_bytes(b"no tower")
    with pytest.raises(WeightsError, match=hashlib.sha256(b"no tower").hexdigest()):
        fetch_tower(tmp_path / "cache", source_file=other)
    assert find_tower(tmp_path / "cache") is None


def test_a_missing_file_and_a_full_folder_are_named(tmp_path):
    with pytest.raises(WeightsError, match="DEEPFAKESTREAM_CACHE_DIR"):
        fetch_tower(tmp_path / "cache", source_file=tmp_path / "missing.pt")


@pytest.mark.parametrize("content", [b"", b"no tensors at all"])
def test_a_damaged_tower_is_named(content, tmp_path):
    path = tower_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="model fetch accurate"):
        read_tower(path)


@pytest.mark.parametrize("content", [b"PK no archive", b""])
def test_a_damaged_archive_is_named(content, tmp_path):
    path = tmp_path / "ViT-B-16.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"ViT-B-16\.pt"):
        read_image_tower(path)
