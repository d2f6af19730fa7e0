"""The GPU path, as far as it can be held without a GPU: memory layouts, choices, formulas, clocks and messages."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sopedu import machine
from sopedu.config import from_dict, preset, to_dict, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.data.mixing import choose_absent, to_device
from sopedu.errors import SopeduError
from sopedu.model import backbones, layers
from sopedu.model.modes import untrained
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training import loading, setup
from sopedu.training import loop as training
from sopedu.training.callbacks import Progress
from sopedu.training.distributed import explain_lost_process
from sopedu.training.loop import train
from sopedu.training.optimizer import MovingAverage, make_optimizer
from sopedu.training.resume import State, StateWriter, load_state, optimizer_tensors, restore_optimizer, save_state
from sopedu.training.run import Run

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
toyband.solos=24 toyband.empty_scenes=4 toyband.instruments=violin,tuba,xylophone mixing.silent_share=0.25
training.steps=4 training.batch_size=4 training.precision=float32"""
TINY = with_values(preset("tiny"), VALUES.split())
CPU, GPU = torch.device("cpu"), torch.device("cuda")


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def gpu_formulas(monkeypatch):
    """Compute on the CPU as a GPU would."""
    monkeypatch.setattr(layers, "_for_gpu", lambda _: True)


def inputs(config=TINY, mixtures: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator, sound, size = torch.Generator().manual_seed(0), config.spectrogram, config.frames.size
    heard = torch.randn(mixtures, 1, sound.log_frequency_bins, sound.time_frames, generator=generator)
    seen = torch.randn(mixtures, config.frames.count, 3, size, size, generator=generator)
    return heard, seen, torch.tensor([[0, 1], [1, 0]])


# What a state brings back


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_restored_moments_lie_in_memory_as_their_parameters_do(tmp_path, kind):
    def a_model():
        model = SoundOfPixels(TINY).to(memory_format=torch.channels_last)
        return model, make_optimizer(model, with_values(TINY, [f"training.optimizer={kind}"]).training)

    model, optimizer = a_model()
    model(*inputs()).square().mean().backward()
    optimizer.step()
    average = MovingAverage(model, 0.9)
    average.update(model, 1)
    before = optimizer_tensors(optimizer)
    save_state(tmp_path, State(1, {**before, "weight": average.model.audio_net.down[1].weight}, {}))

    model, optimizer = a_model()
    tensors = dict(load_state(tmp_path)[0].tensors)
    weight = tensors.pop("weight")
    assert weight.is_contiguous() and not weight.is_contiguous(memory_format=torch.channels_last)
    restore_optimizer(optimizer, tensors)
    moments = 0
    for parameter, kept in optimizer.state.items():
        for value in kept.values():
            if isinstance(value, torch.Tensor) and value.dim():
                assert value.stride() == parameter.stride() and not value.requires_grad
                moments += value.dim() == 4
    convolutions = sum(parameter.dim() == 4 for parameter in model.parameters())
    assert moments == convolutions * (2 if kind == "adamw" else 1)
    after = optimizer_tensors(optimizer)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    average = MovingAverage(model, 0.9)
    average.model.audio_net.down[1].load_state_dict({"weight": weight})
    assert average.model.audio_net.down[1].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_state_is_written_as_it_was_though_training_goes_on(tmp_path, monkeypatch):
    writer, weight = StateWriter(tmp_path), torch.zeros(3)
    writer.write(State(1, {"weight": weight}, {}))
    weight += 1
    writer.wait()
    state, _ = load_state(tmp_path)
    assert (state.step, state.tensors["weight"].tolist()) == (1, [0, 0, 0])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sopedu.training.resume.write_tensors", full)
    writer.write(State(2, {"weight": weight}, {}))
    with pytest.raises(SopeduError, match="cannot be written .No space left on device.; free some space"):
        writer.wait()
    writer.close()
    assert load_state(tmp_path)[0].step == 1


def test_a_disk_that_is_full_ends_the_training_with_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sopedu.training.resume.write_tensors", full)
    config = with_values(TINY, ["training.save_every=4"])
    with pytest.raises(SopeduError, match="cannot be written .No space left on device.; free some space"):
        train(config, ToyBandClips(config), folder=tmp_path / "run")


def test_to_resume_fetches_no_weights(tmp_path, monkeypatch):
    values = "model.frame_net=resnet18 model.frame_weights=imagenet training.steps=1 training.batch_size=2"
    values += " training.optimizer=sgd training.freeze=frame_net.body"
    config, fetched = with_values(TINY, values.split()), []
    resnet = backbones.resnet18

    def offline(weights):
        fetched.append(weights)
        if len(fetched) > 1 and weights is not None:
            raise OSError("no network")
        return resnet(weights=None)

    monkeypatch.setattr(backbones, "resnet18", offline)
    train(config, ToyBandClips(config), folder=tmp_path / "run")
    assert fetched[0] is not None
    run = train(config, ToyBandClips(config), folder=tmp_path / "run", resume=True)
    assert run.step == 1 and fetched[1:] == [None] and run.model.config == config
    with pytest.raises(SopeduError, match="could not be downloaded .no network."):
        train(config, ToyBandClips(config))


# What is chosen


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 5, 9}, raising=False)
    assert machine.usable_cores() == 3
    monkeypatch.delattr(machine.os, "sched_getaffinity")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: None)
    assert machine.usable_cores() == 1


def test_loading_processes_follow_cores_gpus_and_shared_memory(monkeypatch):
    paper = preset("paper")
    clip = 4 * 65535 + 3 * 3 * 224 * 224  # float32 samples, three pictures
    assert machine.batch_bytes(paper) == 80 * clip
    assert machine.batch_bytes(with_values(paper, ["mixing.pairing=independent"]), 4) == 40 * clip

    def chosen(cores: int, gpus: int = 1, room: float | None = None, *values: str) -> tuple[int, str]:
        monkeypatch.setattr(machine, "usable_cores", lambda: cores)
        monkeypatch.setattr(machine, "_shared_memory_room", lambda: room)
        return machine.loading_processes(with_values(paper, values), GPU, gpus)

    assert [chosen(cores)[0] for cores in (1, 2, 3, 8, 64)] == [1, 1, 1, 6, 12]
    assert [chosen(34, gpus)[0] for gpus in (1, 2, 4, 8)] == [12, 12, 8, 4]
    assert chosen(16, 1, 29 * 80 * clip) == (12, "")
    for batches, workers in ((25, 12), (24, 11), (4, 1), (1, 0)):
        number, note = chosen(16, 1, batches * 80 * clip)
        assert number == workers and ("--shm-size" in note and "--ipc=host" in note) == (workers < 12)
    assert chosen(16, 1, 1, "training.workers=3") == (3, "")  # who names a number gets it
    assert machine.loading_processes(paper, CPU) == (0, "")


def test_workers_are_a_number_or_auto_also_in_json():
    assert preset("paper").training.workers == "auto"
    for text, value in (("auto", "auto"), ("0", 0), ("8", 8)):
        config = with_values(TINY, [f"training.workers={text}"])
        assert config.training.workers == value and from_dict(to_dict(config)) == config
    for text in ("many", "-1", "2.5", "true", "null"):
        with pytest.raises(SopeduError, match=r"training.workers must "):
            with_values(TINY, [f"training.workers={text}"])


def test_long_trainings_on_one_gpu_are_compiled_where_that_is_possible(monkeypatch):
    paper = preset("paper")
    monkeypatch.setattr(machine, "missing_for_compiling", lambda: "")
    assert machine.compile_mode(paper, GPU) == ("default", "")
    assert machine.compile_mode(preset("tiny"), GPU) == ("none", "")  # over before it would pay
    assert machine.compile_mode(paper, CPU) == ("none", "")
    assert machine.compile_mode(paper, GPU, processes=2) == ("none", "")
    assert machine.compile_mode(with_values(TINY, ["training.compile=reduce-overhead"]), CPU)[0] == "reduce-overhead"
    monkeypatch.setattr(machine, "missing_for_compiling", lambda: "a C compiler")
    assert machine.compile_mode(paper, GPU) == ("none", "not compiled, because a C compiler is missing here")


def test_a_net_that_cannot_be_compiled_goes_on_as_it_is_and_says_so_once(monkeypatch):
    def broken(graph, arguments):
        raise ValueError("no such\nbackend")

    compile_with = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, mode, **others: compile_with(net, backend=broken, **others))
    net, said = torch.nn.Linear(3, 2), []
    tried = machine.CompiledNet(net, "default", said.append)
    for _ in range(2):
        assert torch.equal(tried(torch.ones(1, 3)), net(torch.ones(1, 3)))
    assert len(said) == 1 and said[0].startswith("not compiled, because torch.compile failed (") and "\n" not in said[0]
    assert tried.module is net
    with pytest.raises(Exception, match="no such"):  # who asked for it is told
        machine.CompiledNet(net, "default")(torch.ones(1, 3))
    torch._dynamo.reset()


def test_a_gpu_that_torch_cannot_use_is_told_of(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    for name in ("CUDA_VISIBLE_DEVICES", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    assert "cannot use it, so the CPU trains: nvidia-smi shows the driver" in machine.unused_gpu()
    for name, value in (("CUDA_VISIBLE_DEVICES", ""), ("ACCELERATE_USE_CPU", "true")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            assert machine.unused_gpu() == ""  # nobody wants it
    monkeypatch.setattr(torch.version, "cuda", None)
    assert machine.unused_gpu() == ""


def test_float32_on_a_gpu_is_float32():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        machine.full_float32(CPU)
        assert torch.backends.cudnn.allow_tf32
        machine.full_float32(GPU)
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    for device in (CPU, GPU):
        with machine.fastest_convolutions(device):
            assert torch.backends.cudnn.benchmark == (device is GPU)
        assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize("command", ["evaluate", "separate"])
def test_commands_that_take_a_checkpoint_ask_for_a_gpu_if_there_is_one(command, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from sopedu.cli.commands import app
    from sopedu.model import checkpoints

    asked = []

    def load(folder, device="cpu"):
        asked.append(device)
        raise SopeduError("enough")

    monkeypatch.setattr(checkpoints, "load_checkpoint", load)
    for options in ([], ["--device", "cpu"]):
        CliRunner().invoke(app, [command, str(tmp_path), *options])
    assert asked == ["auto", "cpu"]


# How a GPU computes


@pytest.mark.parametrize("shape", [(2, 8, 16, 16), (1, 3, 2, 2), (2, 5, 4, 12), (1, 2, 1, 3)])
def test_doubling_by_matrices_is_torchs_own_to_rounding(shape, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last).requires_grad_()
    theirs = layers.twice_as_large(x)
    assert torch.equal(theirs, F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
    monkeypatch.setattr(layers, "_for_gpu", lambda _: True)
    ours = layers.twice_as_large(x)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    gradient = torch.randn(ours.shape, generator=generator)
    (a,), (b,) = (torch.autograd.grad(y, x, gradient) for y in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=0, atol=3e-6)
    with torch.autocast("cpu", torch.bfloat16):  # where torch's own would be given float32 on a GPU
        assert layers.twice_as_large(x.bfloat16()).dtype == torch.bfloat16


def test_the_model_answers_alike_with_a_gpus_formulas_and_as_one_graph(monkeypatch):
    torch.manual_seed(0)
    model, given = SoundOfPixels(TINY).eval(), inputs()
    expected = model(*given)
    monkeypatch.setattr(layers, "_for_gpu", lambda _: True)
    torch.testing.assert_close(model(*given), expected, rtol=1e-4, atol=1e-5)
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)  # a break would be an error
    torch.testing.assert_close(compiled(*given), expected, rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()


def test_gradients_reach_normalisations_with_their_channels_together(monkeypatch):
    deep = with_values(TINY, ["model.audio_channels=8,8,8,8,8"])

    def scattered() -> int:
        model, found = SoundOfPixels(deep).to(memory_format=torch.channels_last).train(), []

        def look(module, gradients):
            found.append(not gradients[0].is_contiguous(memory_format=torch.channels_last))

        for module in model.audio_net.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and module.num_features > 1:
                module.register_full_backward_pre_hook(look)
        heard = inputs(deep)[0].contiguous(memory_format=torch.channels_last)
        model.audio_net(heard).square().mean().backward()
        assert len(found) == 7
        return sum(found)

    assert scattered() > 0  # else nothing would have to be mended
    monkeypatch.setattr(layers, "_for_gpu", lambda _: True)
    assert scattered() == 0


def test_frozen_normalisations_stay_frozen_when_they_are_synchronised(monkeypatch):
    several = SimpleNamespace(device=torch.device("meta"), num_processes=2, process_index=0)
    monkeypatch.setattr(setup, "Accelerator", lambda **_: several)
    values = ["training.sync_batchnorm=true", "training.freeze=audio_net.down_norm,frame_net.body"]
    config = with_values(TINY, values)
    with torch.device("meta"):
        model = SoundOfPixels(config)
    loop = setup.prepare(config, ToyBandClips(config), model, None, False)
    training.training_mode(loop.run.model, loop.frozen)
    norms = {
        name: module.training
        for name, module in loop.run.model.named_modules()
        if isinstance(module, torch.nn.SyncBatchNorm)
    }
    still = {name for name in norms if name.startswith(("audio_net.down_norm", "frame_net.body"))}
    assert len(still) > 5 and {name for name, learns in norms.items() if not learns} == still


def test_between_two_records_no_value_is_read_back():
    class Reads(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.found = Counter()

        def __torch_dispatch__(self, function, types, arguments=(), named=None):
            name = function.overloadpacket.__name__
            if name in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select"):
                self.found[name] += 1
            return function(*arguments, **(named or {}))

    # Plain SGD: on the CPU, AdamW reads its own step counters, which its fused form on a GPU does not.
    values = "training.optimizer=sgd mixing.pasted_share=0.5 training.average_decay=0.9 training.steps="
    found = []
    for steps in (2, 6):
        config = with_values(TINY, f"{values}{steps}".split())
        clips = ToyBandClips(config)
        with Reads() as reads:
            train(config, clips, record_every=steps)
        found.append(reads.found)
    assert found[0] == found[1] and found[0]["_local_scalar_dense"] > 0


def test_arrays_arrive_as_they_are():
    values = np.array([[0.1, -3.0], [2.5, 1e-9]])
    assert torch.equal(to_device(values, CPU), torch.from_numpy(values))
    labels = np.array([0, 1, 2, 0])
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    assert choose_absent(np.array([[0, 1], [1, 2]]), labels, 0, generator).shape == (2, 0)
    assert generator.bit_generator.state == before


# What is said


def test_speed_counts_what_a_gpu_had_queued_and_waiting_is_told(monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    for module in (training, loading):
        monkeypatch.setattr(module, "time", clock)

    class Slow(ToyBandClips):
        def __getitem__(self, visit):
            clock.now += 0.5  # four clips: a batch takes 2 seconds
            return super().__getitem__(visit)

    finite = training.Trainer._all_finite

    def synchronising(trainer, losses):
        clock.now += 6.0  # the steps that were queued
        return finite(trainer, losses)

    monkeypatch.setattr(training.Trainer, "_all_finite", synchronising)
    history = train(TINY, Slow(TINY), record_every=2).history
    # Two steps of 4 mixtures take 2 × 2 s of loading and 6 s of computing.
    assert [entry["mixtures_per_second"] for entry in history] == [0.8, 0.8]
    assert [entry["waiting"] for entry in history] == [0.4, 0.4]
    assert [entry["seconds"] for entry in history] == [10.0, 20.0]


@pytest.mark.parametrize(("share", "told"), [(0.3, False), (0.45, True)])
def test_the_bar_says_that_data_is_waited_for(share, told, capsys):
    run = Run(TINY, untrained(TINY), ("a",), 4)
    progress = Progress()
    progress.on_start(run)
    run.history.append({"step": 2, "loss": 1.0, "mixtures_per_second": 3.0, "waiting": share})
    run.step = 2
    progress.on_record(run)
    postfix = progress.bar.postfix
    progress.close()
    assert ("waiting_for_data=45%, raise training.workers" in postfix) == told


def test_a_batch_that_fits_is_looked_for_when_the_failed_step_is_gone(monkeypatch):
    whole, kept, alive = training.mixture_loss, [], []

    def hungry(net, waveforms, *others):
        gc.collect()
        alive.extend(reference() is not None for reference in kept)
        if len(waveforms) > 2:
            activation = torch.zeros(5)
            kept.append(weakref.ref(activation))
            raise torch.OutOfMemoryError("too much")
        return whole(net, waveforms, *others)

    for module in (training, training.out_of_memory):
        monkeypatch.setattr(module, "mixture_loss", hungry)
    config = with_values(TINY, ["training.batch_size=8"])
    with pytest.raises(SopeduError, match="a batch of 2 fits") as caught:
        train(config, ToyBandClips(config))
    assert len(kept) == 2 and alive == [False, False, False]
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "message",
    [
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
        "shared memory. Please try to raise your shared memory limit.",
        "Caught RuntimeError in DataLoader worker process 0. unable to allocate shared memory(shm) for file </torch_1>",
    ],
)
def test_too_little_shared_memory_names_its_remedy(message):
    with pytest.raises(SopeduError, match=r"/dev/shm.* --shm-size=8g or --ipc=host.*workers=0"), explain_lost_process():
        raise RuntimeError(message)


def test_a_training_says_at_its_start_what_it_will_do(tmp_path):
    from sopedu.training.run_folder import train_run

    said = []
    train_run(tmp_path / "run", with_values(TINY, ["training.steps=1"]), say=said.append)
    line = f"cpu, float32, clips are loaded between steps, not compiled, 1 steps, results in {tmp_path / 'run'}"
    assert line in said
