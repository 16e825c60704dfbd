"""The prediction log, or a time of it, as one Parquet file."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deepfakestream.errors import DataError
from deepfakestream.host.counted import counted
from deepfakestream.host.whole_files import replacing
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.monitoring.prediction_table import COLUMNS, NUMBERS

_ROWS_AT_ONCE = 50_000
_TYPES: dict[str, pa.DataType] = {
    "created_at": pa.timestamp("us", tz="UTC"),
    "reasons": pa.list_(pa.string()),
    # Many readers of Parquet do not know float16.
    "features": pa.list_(pa.float32()),
    **dict.fromkeys(NUMBERS, pa.float64()),
}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in COLUMNS])


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    path: Path
    num_rows: int

    def describe(self) -> str:
        """Return it as a sentence."""
        return f"{counted(self.num_rows, 'prediction')} written to {self.path}"


def export(log: PredictionLog, path: Path, *, since: datetime | None, until: datetime) -> ExportReport:
    """Write the predictions of a time to a Parquet file, the oldest first; in parts, whatever their number.

    The file is whole or absent.

    Args:
        log: to read.
        path: the file; it must not exist.
        since: first moment; None: the beginning of the log.
        until: moment after the last.

    Raises:
        DataError: the file exists or cannot be written, or the time is empty.
        ServerError: the database does not answer.
    """
    if since is not None and since >= until:
        raise DataError(f"--since {since.isoformat()} is not before --until {until.isoformat()}; correct one")
    if path.exists():
        raise DataError(f"{path}: exists; name another file, or remove it first")
    num_rows = 0
    try:
        with replacing(path) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            for part in log.between(since, until, rows_at_once=_ROWS_AT_ONCE):
                part["reasons"] = [json.loads(text) for text in part["reasons"]]
                writer.write_table(pa.Table.from_pandas(part, schema=SCHEMA, preserve_index=False))
                num_rows += len(part)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"{path}: cannot be written ({error.strerror}); name another file") from error
    return ExportReport(path, num_rows)
