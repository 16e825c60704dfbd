"""What MLflow's own commands load: whole files in, verdicts out.

`mlflow models serve -m models:/deepfakestream-detector@champion --env-manager local` answers with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deepfakestream.scanning.model_options import ModelOptions

if TYPE_CHECKING:
    import pandas as pd

    from deepfakestream.scanning.engine import ScanEngine
    from deepfakestream.scanning.result import ScanResult

INPUT = "media"
"""Column of the input: the bytes of an image or video, in base64 over HTTP."""
OPTIONS = {"detector": "auto", "operating_point": "balanced", "device": "auto", "cache_dir": ""}
"""How a model is opened where the caller gives no `model_config`; the names are those of `open_model`."""


class ServedModel:
    """A registered model as MLflow uses it; each row is scanned as `deepfakestream scan` scans a file."""

    def __init__(self, engine: ScanEngine) -> None:
        """Bind the engine.

        Args:
            engine: of the registered model.
        """
        self._engine = engine

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Return a row for each file: verdict, p_fake, message, reasons, detector, and the result as JSON.

        Args:
            model_input: column `media` with the bytes of each file.
        """
        import pandas as pd

        with TemporaryDirectory() as folder:
            rows = [
                self._row(content, Path(folder) / f"media-{number}")
                for number, content in enumerate(model_input[INPUT])
            ]
        return pd.DataFrame(rows)

    def _row(self, content: bytes, path: Path) -> dict[str, Any]:
        path.write_bytes(content)
        result: ScanResult = self._engine.scan(path, name=path.name)
        path.unlink()
        return {
            "verdict": result.verdict,
            "p_fake": float("nan") if result.p_fake is None else result.p_fake,
            "message": result.message,
            "reasons": list(result.reasons),
            "detector": result.model.detector,
            "result": result.model_dump_json(),
        }


def _load_pyfunc(path: str, model_config: Mapping[str, str] | None = None) -> ServedModel:
    """Return the model of a folder; MLflow calls it by this name."""
    options = {**OPTIONS, **(model_config or {})}
    cache_dir = options.pop("cache_dir")
    _, engine = ModelOptions(
        model_dir=Path(path),
        cache_dir=Path(cache_dir) if cache_dir else None,
        **options,  # type: ignore[arg-type]
    ).open()
    return ServedModel(engine)
