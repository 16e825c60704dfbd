"""The description of the registered model on the MLflow pages."""

from __future__ import annotations

DESCRIPTION = """\
Tells whether the faces in a video or image were swapped: SRM noise residuals and RGB through EfficientNet,
one score per file (`p_fake`, calibrated, higher = more likely fake).

**Aliases.** `champion` is what the service answers with; `challenger` was trained last and has not (yet)
passed the gate; `previous` was champion before and is where a rollback goes. Aliases are moved by
`deepfakestream promote`, which compares both models on the same test files and records its reasons: do not
move them by hand while it runs.

**Files of a version.** `model.safetensors` and `model.onnx` hold the same weights, `spec.json` all that
decides a verdict besides them (crop, normalisation, aggregation, calibration, thresholds),
`reference.parquet` what drift is measured against, `MODEL_CARD.md` use, terms and measured rates. Never a
pickle.

**Tags of a version** say where it comes from: digest and commit of the code, DVC data digest, digests of
params.yaml and of its files, test metrics, and the gate's decision.
"""
