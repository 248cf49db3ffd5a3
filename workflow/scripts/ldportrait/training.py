"""The training of a matting network from beginning to end, and its going on after it was stopped or killed.

What a step sees is a function of the seed and the step (`training_data`), and all else is in the checkpoint. So a run
that goes on from its last checkpoint ends in the weights of an undisturbed one, to the last bit on the same machine.
"""

import contextlib
import csv
import ctypes
import functools
import importlib.util
import logging
import math
import multiprocessing
import os
import shutil
import signal
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import lightning.pytorch as lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch.utils.data import DataLoader
from tqdm import tqdm

from ldportrait.checkpoints import BEST, CHECKPOINT, WholeFiles, digest_of, read_checkpoint
from ldportrait.recipes import Plan
from ldportrait.shards import replacing
from ldportrait.training_data import Batches, Composites, Steps
from ldportrait.training_module import HeldOut, Matting, validate


class Keeper(lightning.Callback):
    """Keep the last checkpoint, whole, under a digest of what the run depends on, and the best weights in validation.

    A run that is told to stop by SIGTERM does so at the end of a step, with a checkpoint of it. Progress is shown on a
    terminal.
    """

    def __init__(self, folder: Path, digest: str, every: int, held_out: HeldOut | None = None) -> None:
        """Take the folder, what the checkpoint is good for, the steps between two, and what to validate on."""
        self.path, self.best, self.digest, self.every = folder / CHECKPOINT, folder / BEST, digest, every
        self.held_out = held_out
        self.bar: tqdm | None = None
        self.asked = self.stopped = False

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Open the progress bar, and listen for SIGTERM in place of Lightning, which would lose the steps since."""
        with contextlib.suppress(ValueError):  # only a main thread may listen; Lightning puts the old listener back
            signal.signal(signal.SIGTERM, self._ask)
        self.bar = tqdm(
            total=trainer.max_steps,
            initial=trainer.global_step,
            desc="training",
            unit="step",
            disable=None if trainer.is_global_zero else True,
        )

    def _ask(self, *_: object) -> None:
        self.asked = True

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Matting, *_: object) -> None:
        """At the end of a step: show it, validate and save every so many, and stop if that was asked for."""
        if module.amid_step:
            return
        step, last, row = trainer.global_step, trainer.global_step == trainer.max_steps, module.rows[-1]
        self.bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
        self.bar.update()
        every = module.plan.validate_every
        if every and (step % every == 0 or last) and trainer.is_global_zero:
            self._validate(module)
        if trainer.logger:
            trainer.logger.log_metrics({name: value for name, value in row.items() if name != "step"}, step)
        stop = trainer.strategy.reduce_boolean_decision(self.asked, all=False) and not last
        if (step % self.every == 0 or stop) and not last:
            trainer.save_checkpoint(self.path)  # every process takes part
        if stop:
            self.stopped = trainer.should_stop = True

    def _validate(self, module: Matting) -> None:
        """Measure the network, note it in the log, and keep its weights if it is the best so far."""
        found = validate(module, self.held_out)
        module.train()
        module.rows[-1] |= {f"val_{name}": found[name] for name in ("mad", "unknown_mad")}
        if found["mad"] < module.best.get("mad", math.inf):
            module.best = {"step": module.rows[-1]["step"], "mad": found["mad"], "unknown_mad": found["unknown_mad"]}
            with replacing(self.best) as temporary:
                weights = {name: tensor.contiguous() for name, tensor in module.trained.state_dict().items()}
                temporary.write_bytes(serialise(weights))

    def on_train_end(self, *_: object) -> None:
        """Close the progress bar."""
        self.bar.close()

    def on_save_checkpoint(self, _: lightning.Trainer, __: lightning.LightningModule, checkpoint: dict) -> None:
        """Say what the checkpoint is good for."""
        checkpoint["digest"] = self.digest

    def found(self) -> int:
        """Return the step that this run can go on from, or 0; a checkpoint of no use to it is removed."""
        checkpoint = read_checkpoint(self.path, self.digest)
        return int(checkpoint["global_step"]) if checkpoint else 0


def fit(
    module: Matting,
    composites: Composites,
    folder: Path,
    state: Mapping[str, object],
    workers: int = 0,
    held_out: HeldOut | None = None,
    events: Path | None = None,
) -> bool:
    """Train `module` to its plan's end, from the last checkpoint in `folder` if it was made from an equal `state`.

    Returns whether the end was reached: False if SIGTERM stopped the run, which then has a checkpoint. The module is
    trained in place; with `keep` best, it ends with the weights that were best on `held_out`. TensorBoard's event files
    go to the folder `events`, if there is one. Raises ValueError if too many losses in a row are not finite, if a shard
    is damaged, or if GPUs are asked for that are not there.
    """
    plan = module.plan
    if plan.gpus > torch.cuda.device_count():
        raise ValueError(f"{plan.gpus} GPUs are asked for, but torch finds {torch.cuda.device_count()}; use --gpus 0.")
    if plan.validate_every and held_out is None:
        raise ValueError("validate_every asks for validation, but there are no val portraits, or validation is 0.")
    _quiet()
    devices = plan.gpus or int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # on CPUs, as many processes as torchrun started
    basis = dict(state) | {"processes": devices * plan.nodes}  # which share out the samples
    keeper = Keeper(folder, digest_of(basis), plan.checkpoint_every, held_out)
    start = keeper.found()
    trainer = _trainer(plan, devices, keeper, events)
    if start and trainer.is_global_zero:
        print(f"going on from step {start}", flush=True)
    elif trainer.is_global_zero and module.inspection:
        shutil.rmtree(module.inspection, ignore_errors=True)  # an earlier run's
    over = multiprocessing.RawValue(ctypes.c_bool, False)
    loader = _loader(composites, plan, start, trainer.world_size, workers, over)
    module.to(memory_format=torch.channels_last)  # 1.5 times as fast on a CPU
    module.train()
    try:
        trainer.fit(module, loader, ckpt_path=keeper.path if start else None, weights_only=True)
    except ValueError as error:
        raise ValueError(_own_words(error)) from error
    finally:
        over.value = True
    if plan.keep == "best" and not keeper.stopped and trainer.is_global_zero:
        module.trained.load_state_dict(load_file(keeper.best))
    module.eval()
    return not keeper.stopped


def _trainer(plan: Plan, devices: int, keeper: Keeper, events: Path | None) -> lightning.Trainer:
    """Make Lightning's trainer for a plan, on so many devices of each node; all else than its loop is the keeper's."""
    return lightning.Trainer(
        accelerator="gpu" if plan.gpus else "cpu",
        devices=devices,
        num_nodes=plan.nodes,
        strategy="ddp" if devices * plan.nodes > 1 else "auto",
        plugins=[WholeFiles(), *_environment(devices * plan.nodes)],
        precision=plan.precision,
        max_epochs=-1,
        max_steps=plan.steps,
        accumulate_grad_batches=plan.accumulate,
        gradient_clip_val=plan.clip or None,
        callbacks=[keeper],
        use_distributed_sampler=False,
        logger=_logger(events),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _loader(
    composites: Composites, plan: Plan, start: int, processes: int, workers: int, over: ctypes.c_bool
) -> DataLoader:
    """Make the loader of the batches after step `start`; its workers last until the run is `over`."""
    cv2.setNumThreads(1)  # its threads would not survive the fork of a worker, which would wait for them forever
    samples = plan.batch_size * plan.accumulate * processes  # a step
    return DataLoader(
        Batches(composites),
        batch_size=plan.batch_size,
        sampler=Steps(start * samples, plan.steps * samples),
        num_workers=workers,
        pin_memory=plan.gpus > 0,
        worker_init_fn=functools.partial(_outlive_sigterm, over),
    )


def _environment(processes: int) -> list[ClusterEnvironment]:
    """Say who starts the processes: torchrun or srun if they have started as many, else this one starts the others.

    A job of Slurm's with one task is no reason to wait for tasks that nobody starts. Slurm is not told to requeue the
    job either: whoever submitted it sees its exit status.
    """
    if TorchElasticEnvironment.detect():
        return []
    if processes > 1 and int(os.environ.get("SLURM_NTASKS", 1)) == processes:
        return [SLURMEnvironment(auto_requeue=False)]
    return [LightningEnvironment()]


def _logger(events: Path | None) -> TensorBoardLogger | bool:
    if events is None:
        return False
    if not any(importlib.util.find_spec(name) for name in ("tensorboardX", "tensorboard")):
        raise ValueError("TensorBoard's files need the package tensorboardX, which is not installed.")
    return TensorBoardLogger(events, name="", version="")


def _outlive_sigterm(over: ctypes.c_bool, _: int) -> None:
    """Let a worker work on when the whole job gets SIGTERM while the run is not `over`: its step is still to end.

    After that SIGTERM ends it, which is how Python lets go of workers that are left at exit.
    """

    def listen(*_: object) -> None:
        if over.value:
            os._exit(0)

    signal.signal(signal.SIGTERM, listen)


def _own_words(error: ValueError) -> str:
    """The message of an error, without the traceback that torch puts before one of a worker."""
    return str(error).rpartition(f"{ValueError.__name__}: ")[2].strip()


def _quiet() -> None:
    """Keep Lightning's advice out of the log: devices found, workers to add, where it stopped."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch"):
        warnings.filterwarnings("ignore", module=module)


def write_log(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write the log as CSV, whole: step, loss, its parts, learning_rate, skipped, and what was measured in validation.

    `skipped` counts the steps so far that were skipped; what was not measured at a step is empty.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        numbers = ({name: v if isinstance(v, int) else f"{v:.6g}" for name, v in row.items()} for row in rows)
        writer.writerows(numbers)


def use_threads(count: int) -> None:
    """Let torch use `count` threads, and OpenCV one: its pictures here are small."""
    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = str(count)
