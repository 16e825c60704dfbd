"""Run by torchrun from test_distributed.py: train on a small set, leave what came out."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

import torch

from deepfakestream.model.network import create_network
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.detector import network_spec
from deepfakestream.training.distributed import join_team
from deepfakestream.training.loop import EpochMetrics, Trainer
from deepfakestream.training.pairs import PairDataset, PairSpec
from deepfakestream.training.validation import LabelledImages


def train(folder: Path) -> None:
    """Train as `job.pickle` says; write `history-RANK.json`, and the weights as `weights-RANK.pt`."""
    torch.set_num_threads(1)
    faces, params, dies_in_epoch = pickle.loads((folder / "job.pickle").read_bytes())
    with join_team("cpu") as team:
        torch.manual_seed(3)
        pairs = PairDataset(faces, PairSpec(mix=params.fake_mix, augment=params.augment, seed=3))
        trainer = Trainer(create_network(network_spec(params)), pairs, params, seed=3, team=team)

        def on_epoch(epoch: int, _: EpochMetrics) -> None:
            if epoch == dies_in_epoch and team.rank == team.size - 1:
                os._exit(9)

        validation = {
            "dataset": LabelledImages(images=faces.images, is_fake=faces.is_fake, groups=faces.groups)
        }
        result = trainer.fit(validation, CheckpointStore(directory=folder / "checkpoints"), on_epoch)
        (folder / f"history-{team.rank}.json").write_text(json.dumps(result.history))
        torch.save(result.network.state_dict(), folder / f"weights-{team.rank}.pt")


if __name__ == "__main__":
    train(Path(sys.argv[1]))
