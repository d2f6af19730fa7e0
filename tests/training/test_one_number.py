"""One machine, one number: a training step gives the same losses whatever the processor offers and the threads are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
# Preset tiny as `make demo` trains it, precision included; clips of noise and random pictures, so nothing is rendered.
STEPS = """
import json, sys
import numpy as np, torch
from sopedu.config import preset
from sopedu.model.modes import untrained
from sopedu.training.loss import mixture_loss
from sopedu.training.optimizer import make_optimizer, set_rates
from sopedu.training.precision import choose_precision

torch.set_num_threads(int(sys.argv[1]))
config, noise = preset("tiny"), torch.Generator().manual_seed(1)
torch.manual_seed(0)
model = untrained(config).to(memory_format=torch.channels_last).train()
precision, _ = choose_precision(model, config, torch.device("cpu"))
optimizer = make_optimizer(model, config.training)
waveforms = 0.1 * torch.randn(16, config.spectrogram.samples, generator=noise)
size = config.frames.size
frames = torch.randint(0, 256, (16, config.frames.count, 3, size, size), generator=noise, dtype=torch.uint8)
losses = []
for step in range(3):
    set_rates(optimizer, 100 + step, config.training)  # after the warm-up
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss, _ = mixture_loss(model, waveforms, frames, np.arange(16) % 4, config, np.random.default_rng(0))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
print(json.dumps({"precision": precision, "losses": losses, "cpu": torch.backends.cpu.get_cpu_capability()}))
"""
# What a processor offers beyond the oldest that torch supports can be hidden from it.
MACHINES = {
    "default": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "sse41": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "this": {},
}


@cache
def steps(machine: str, threads: int) -> dict:
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS",)}
    answer = subprocess.run(
        [sys.executable, "-c", STEPS, str(threads)],
        cwd=ROOT,
        env=environment | MACHINES[machine],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return json.loads(answer.stdout)


@pytest.mark.parametrize(
    ("machine", "threads"), [("this", 2), ("this", 4), ("default", 1), ("default", 2), ("avx2", 2), ("sse41", 1)]
)
def test_the_losses_of_training_steps_are_equal_on_every_machine(machine, threads):
    here = steps("this", 1)
    there = steps(machine, threads)
    assert there["precision"] == here["precision"] == "float32"
    if machine == "default":
        assert there["cpu"] == "DEFAULT"  # so the variable did what it promises
    assert np.isfinite(there["losses"]).all() and len(there["losses"]) == 3
    assert abs(there["losses"][0] - there["losses"][-1]) > 0.01  # the same mixtures, so the weights did move
    assert there["losses"] == pytest.approx(here["losses"], rel=1e-4)
