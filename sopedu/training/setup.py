"""Everything that has to be in place before the first step: processes, precision, model, optimizer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from sopedu.config import Config
from sopedu.data.clips import ClipDataset
from sopedu.errors import SopeduError
from sopedu.machine import CompiledNet, compile_mode, full_float32, loading_processes, unused_gpu
from sopedu.model.modes import untrained
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.model.warm_start import load_warm_start
from sopedu.training.distributed import join_processes
from sopedu.training.level import training_level
from sopedu.training.optimizer import MovingAverage, freeze, make_optimizer
from sopedu.training.precision import choose_precision
from sopedu.training.run import Run


@dataclass
class Prepared:
    """A training before its first step.

    Attributes:
        run: with the model on its device.
        optimizer: of the model.
        frozen: modules that stay in evaluation mode.
        accelerator: of this process.
        device: of the training.
    """

    run: Run
    optimizer: torch.optim.Optimizer
    frozen: list[torch.nn.Module]
    accelerator: Accelerator
    device: torch.device


def new_model(config: Config) -> SoundOfPixels:
    """Build a model with the starting weights that its configuration names.

    Args:
        config: of the model.
    """
    model = SoundOfPixels(config)
    if config.model.frame_weights == "procedural":
        load_warm_start(model.frame_net)
    return model


def prepare(
    config: Config, clips: ClipDataset, model: SoundOfPixels | None, folder: Path | None, resume: bool
) -> Prepared:
    """Connect the processes, build the model and the optimizer, and choose precision, workers and compilation.

    Args:
        config: checked.
        clips: solos.
        model: to train; None: a new one, or with ``resume`` one whose weights are overwritten.
        folder: of the run, or None.
        resume: a state will be restored.

    Raises:
        SopeduError: the batch cannot be shared by the processes; a choice needs a GPU.
    """
    settings = config.training
    torch.manual_seed(settings.seed)
    place = join_processes()
    if model is None and resume:  # the state holds all weights, so none are downloaded first
        model = untrained(config)
        model.config = config
    elif model is None:
        with place.local_main_process_first():  # one process per machine downloads, the others find the file
            model = new_model(config)
    model.level_db = training_level(clips)
    # Accelerate fixes its mixed precision for a whole process, but a notebook trains many models in one process:
    # autocast is entered in each step instead.
    accelerator = Accelerator(mixed_precision="no")
    device, processes = accelerator.device, accelerator.num_processes
    if device.type == "cpu":
        device = torch.device("cpu")  # without an index, which safetensors does not understand
    _check_batch_size(config, processes)
    # Processes may get different results of the bf16 test, so the first one's choice is used by all.
    precision, note = broadcast_object_list([*choose_precision(model, config, device)])
    if settings.sync_batchnorm and processes > 1:
        if device.type == "cpu":
            raise SopeduError("training.sync_batchnorm works on GPUs only: leave it out on the CPU")
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)  # before any module is frozen
    frozen = freeze(model, settings.freeze) if settings.freeze else []
    full_float32(device)
    model.to(device, memory_format=torch.channels_last)
    optimizer = make_optimizer(model, settings)
    average = MovingAverage(model, settings.average_decay) if settings.average_decay else None
    workers, few = loading_processes(config, device, int(os.environ.get("LOCAL_WORLD_SIZE", processes)))
    compiled, uncompiled = compile_mode(config, device, processes)
    run = Run(
        config, model, clips.class_names, settings.steps, precision=precision, device=str(device),
        processes=processes, workers=workers, compile=compiled, folder=folder, average=average,
        notes=[line for line in (note, unused_gpu(), few, uncompiled) if line],
    )  # fmt: skip
    return Prepared(run, optimizer, frozen, accelerator, device)


def prepare_net(run: Run, accelerator: Accelerator) -> torch.nn.Module | CompiledNet:
    """Wrap the model for several GPUs and compile it, as configured.

    Args:
        run: with the model.
        accelerator: of this process.
    """
    net = accelerator.prepare_model(run.model, device_placement=False)
    if run.compile == "none":
        return net
    return CompiledNet(net, run.compile, run.notes.append if run.config.training.compile == "auto" else None)


def _check_batch_size(config: Config, processes: int) -> None:
    least, size = 1 if config.mixing.pairing == "independent" else config.mixing.sources, config.training.batch_size
    if size % processes or size < least * processes:
        raise SopeduError(
            f"training.batch_size={size} cannot be shared by {processes} processes: "
            f"take a multiple of {processes}, at least {least * processes}"
        )
