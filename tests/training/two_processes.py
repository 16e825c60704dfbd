"""Run by torchrun from test_distributed.py: train on small sets, leave what came out."""

from __future__ import annotations

import faulthandler
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from deepfakestream.model.network import create_network
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.distributed import DistributedContext, init_distributed
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.head import refit_head
from deepfakestream.training.loop import EpochMetrics, Trainer
from deepfakestream.training.pairs import DrawSampler, PairDataset, PairSpec
from deepfakestream.training.params import TrainParams
from deepfakestream.training.validation import LabelledImages

LIFETIME_S = 150
"""No process lives longer, whatever it waits for."""


def _ignore(epoch: int, metrics: EpochMetrics) -> None:
    """Take note of nothing."""


def train(
    folder: Path,
    faces: FaceSet,
    params: TrainParams,
    *,
    context: DistributedContext,
    on_epoch: Callable[[int, EpochMetrics], None] = _ignore,
) -> None:
    """Train, fit the last layer again; write `history-RANK.json`, and the weights as `weights-RANK.pt`.

    Args:
        folder: where results and checkpoints go; a checkpoint in it is gone on from.
        faces: to train and to validate on.
        params: of the training.
        context: the processes.
        on_epoch: called after every epoch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    pairs = PairDataset(faces, PairSpec(mix=params.samples.fake_mix, augment=params.samples.augment, seed=3))
    trainer = Trainer(create_network(params.network.spec), pairs, params, seed=3, context=context)
    validation = {"dataset": LabelledImages(images=faces.images, is_fake=faces.is_fake, groups=faces.groups)}
    result = trainer.fit(validation, CheckpointStore(directory=folder / "checkpoints"), on_epoch)
    sampler = DrawSampler(pairs, num_draws=len(pairs), seed=4, share=(context.rank, context.size))
    refit_head(result.network, [(pairs, sampler)], num_workers=0, context=context)
    (folder / f"history-{context.rank}.json").write_text(json.dumps(result.history))
    torch.save(result.network.state_dict(), folder / f"weights-{context.rank}.pt")


def main(folder: Path) -> None:
    """Do every training of `jobs.pickle`, each in the folder of its name.

    In the second epoch of the deadly one, one process ends at once.
    """
    faulthandler.dump_traceback_later(LIFETIME_S, exit=True)
    torch.set_num_threads(1)
    faces, jobs, deadly = pickle.loads((folder / "jobs.pickle").read_bytes())
    with init_distributed("cpu") as context:
        (folder / f"pid-{context.rank}").write_text(str(os.getpid()))

        def die(epoch: int, _: EpochMetrics) -> None:
            if epoch == 1 and context.rank == 1:
                os._exit(9)

        for name, params in jobs.items():
            on_epoch = die if name == deadly else _ignore
            train(folder / name, faces, params, context=context, on_epoch=on_epoch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
