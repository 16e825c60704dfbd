"""The same set gives the same bytes in a pool and on a Ray cluster, also where an item ends its worker."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from deepfakestream.params import load_params
from deepfakestream.pipeline import extract, ingest
from deepfakestream.settings import Settings

INGEST = load_params(Path(__file__).parents[2] / "params.yaml").ingest

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    rows = ["file,label,kind"]
    for number in range(12):
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'fake' if number % 2 else 'real'},{'crop' if number > 8 else ''}")
    Image.new("RGB", (48, 48)).save(folder / "deadly.png")
    Image.new("RGB", (48, 48), (30, 30, 30)).save(folder / "dark.png")
    (folder / "manifest.csv").write_text("\n".join([*rows, "deadly.png,real,", "dark.png,real,"]))
    return folder


@pytest.fixture
def two_machines() -> Iterator[str]:
    """Address of a Ray cluster of two nodes with a core each, both on this machine."""
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra ray is not installed")
    Path("/tmp/ray").mkdir(exist_ok=True)  # notes there which cluster is current, whatever its folder
    with TemporaryDirectory(prefix="ray-") as folder:  # short: it holds sockets
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1)
        yield cluster.address
        cluster.shutdown()


def test_a_pool_and_a_cluster_agree(
    source: Path, tmp_path: Path, two_machines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    from hunted_extraction import PARAMS, open_noting

    outputs = []
    for executor in ("process", "ray"):
        settings = Settings(
            workspace=tmp_path / executor, executor=executor, num_workers=2, ray_address=two_machines
        )
        ingest.run(source, params=INGEST, settings=settings, request=ingest.IngestRequest())
        notes = tmp_path / f"{executor}.txt"
        report = extract.run(PARAMS, settings=settings, detector_factory=partial(open_noting, notes))
        assert (report.num_crops, report.num_without_face, report.num_unreadable) == (12, 1, 1)
        folder = settings.artifacts_dir / "extract"
        outputs.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")})
    assert len(outputs[0]) == 4  # the table, two shards and the summary
    assert outputs[0] == outputs[1]
