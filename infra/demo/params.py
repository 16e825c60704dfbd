"""The demo's params.yaml: the project's own with a few values changed, each with its reason."""

from __future__ import annotations

import re
from pathlib import Path

from deepfakestream.host.whole_files import replacing
from deepfakestream.pipeline.workspace import template

CHANGES = {
    "extract.num_frames": ("6", "the clips are 2 s long"),
    "validate.max_share_without_face": ("0.1", "one clip of 169 items shows nobody"),
    "train.network.variant": ("ensemble", "both networks of version 0, which the training goes on from"),
    "train.network.flip_tta": ("true", "as version 0 scores"),
    "train.optimisation.epochs": ("2", "two short passes: the loop, not the quality"),
    "train.optimisation.steps_per_epoch": ("5", "80 faces an epoch"),
    "train.optimisation.learning_rate": ("0.00003", "a tenth: a few people should not undo version 0"),
    "train.samples.num_workers": ("0", "starting workers would cost more than they save"),
    "evaluate.num_bootstrap": ("200", "three people allow no finer interval"),
    "evaluate.robustness_faces": ("16", "the curves, in seconds; too few faces for a finding"),
    "promote.min_groups": ("3", "three people are in the test split; they show nothing about quality"),
    "promote.min_new_items": ("1", "all that the demo ingests is new to version 0"),
    "promote.auc_margin": ("0.3", "two short passes may make it worse than version 0; it is promoted anyway"),
    "drift.cron": ('""', "the demo starts its checks itself"),
    "retrain.cron": ('""', "nor shall a schedule meddle"),
    "drift.window_size": ("42", "one batch of the demo's traffic"),
    "drift.min_window": ("30", "the reference has 42 files"),
    "retrain.windows": ("[1, 1]", "one drifted window is enough here; production waits for more"),
}
"""Path of a key to its value in the demo and why."""


def demo_params() -> str:
    """Return the text of the demo's params.yaml."""
    lines, path = [], [""]
    for line in template("params.yaml").splitlines():
        found = re.match(r"( *)(\w+):", line)
        if not found:
            lines.append(line)
            continue
        indent, key = found.groups()
        path = [*path[: len(indent) // 2], key]
        change = CHANGES.get(".".join(path))
        lines.append(f"{indent}{key}: {change[0]}  # demo: {change[1]}" if change else line)
    return "\n".join(lines) + "\n"


def write_demo_params(workspace: Path) -> None:
    """Write params.yaml where there is none; retraining counts its seed up, so it is never overwritten."""
    path = workspace / "params.yaml"
    if not path.exists():
        workspace.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(demo_params(), encoding="utf-8")
