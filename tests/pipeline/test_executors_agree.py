"""The same set gives the same bytes here, in a pool and on Ray, also where an item ends its worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.extraction.executors.ray_cluster import RayCluster
from deepfakestream.data.manifest import read_manifest, write_manifest
from deepfakestream.errors import ServerError
from deepfakestream.params import load_params
from deepfakestream.pipeline import extract, ingest
from deepfakestream.settings import Settings

INGEST = load_params(Path(__file__).parents[2] / "params.yaml").ingest

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Pictures and face crops; one picture is too dark for a face, one ends the process that looks at it."""
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
def helper(monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder)  # for the cluster's workers, who do not learn of this path
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    return import_module("hunted_extraction")


@pytest.fixture
def two_machines(helper: Any) -> Iterator[str]:
    """Address of a Ray cluster of two nodes with a core each, both on this machine."""
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra ray is not installed")
    Path("/tmp/ray").mkdir(exist_ok=True)  # it notes there which cluster is current, whatever its folder
    with TemporaryDirectory(prefix="ray-") as folder:  # short: the names of its sockets begin with it
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1)
        yield cluster.address
        cluster.shutdown()


def test_executors_agree(source: Path, tmp_path: Path, helper: Any, two_machines: str) -> None:
    def extracted(executor: str, *, num_unreadable: int) -> dict[str, bytes]:
        settings = Settings(
            workspace=tmp_path / executor, executor=executor, num_workers=2, ray_address=two_machines
        )
        ingest.run(source, params=INGEST, settings=settings, request=ingest.IngestRequest())
        if executor == "inline":  # the one item that would end the test itself
            manifest = read_manifest(settings.data_dir)
            write_manifest(settings.data_dir, manifest[manifest["original_name"] != "deadly.png"])
        notes = tmp_path / f"{executor}.txt"
        report = extract.run(
            helper.PARAMS, settings=settings, detector_factory=partial(helper.open_noting, notes)
        )
        assert (report.num_crops, report.num_without_face, report.num_unreadable) == (12, 1, num_unreadable)
        shown = Counter(notes.read_text().split())
        assert len(shown) == 10 + num_unreadable
        folder = settings.artifacts_dir / "extract"
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}

    here, pool = extracted("inline", num_unreadable=0), extracted("process", num_unreadable=1)
    cluster = extracted("ray", num_unreadable=1)
    assert sorted(cluster) == [
        "crops.parquet",
        "crops/shard-00000.arrow",
        "crops/shard-00001.arrow",
        "summary.json",
    ]
    assert cluster == pool
    del here["summary.json"], pool["summary.json"]  # that tells of the item left out
    assert here == pool

    with pytest.raises(ServerError, match=r"cannot load the work \(.*Unloadable.*\)"):
        list(RayCluster(address=two_machines, num_workers=1).run(Unloadable(), [0.0]))


class Unloadable:
    """Work that no worker can be given, as where a machine has another version of the package."""

    def __call__(self, job: float) -> None:
        time.sleep(job)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_fail, ())


def _fail() -> None:
    raise ImportError("Unloadable is not there")
