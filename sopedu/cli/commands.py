"""The command line: ``sopedu --help``. Each command's help names the Python function that does the same."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sopedu.cli import datasets, sweep, toyband
from sopedu.cli.evaluation import evaluate
from sopedu.cli.health import health
from sopedu.cli.lessons import lessons
from sopedu.cli.options import (
    DeviceOption,
    JsonOption,
    RateOption,
    RootOption,
    SeedOption,
    SetOption,
    counted,
    goal_of,
    parse_boxes,
    parse_time,
    printer,
    writable,
    write_figures,
)
from sopedu.cli.ratings import ratings
from sopedu.cli.terminal import run_command
from sopedu.cli.weights import import_original, weights
from sopedu.config import PRESETS
from sopedu.errors import SopeduError

if TYPE_CHECKING:
    from sopedu.config import Config
    from sopedu.training import Run

app = typer.Typer(
    help="Learn audio-visual source separation by doing it: train on solos, separate videos, see what sounds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(sweep.sweep)
for command in datasets.COMMANDS:
    app.command()(command)
app.add_typer(toyband.app, name="toyband", no_args_is_help=True)


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="New folder of the run; default: the next runs/demo-NNN.")] = None,
    seed: SeedOption = 0,
    steps: Annotated[int | None, typer.Option(help="Training steps; default: those of preset tiny.", min=1)] = None,
    json_file: JsonOption = None,
) -> None:
    """Train live on the toy band, separate, localize, write a report.

    Python: sopedu.run_demo()
    """
    from sopedu.demo import run_demo
    from sopedu.machine import usable_cores

    write_figures(json_file, run_demo(out, seed, steps, workers=usable_cores(), say=printer(json_file)))


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="New folder of the run; with --resume that of the run to continue.")],
    preset: Annotated[str | None, typer.Option(help=f"{', '.join(PRESETS)}; default: tiny.")] = None,
    data: Annotated[str | None, typer.Option(help="toyband (default), toyband+SOUNDS_FOLDER, or an index CSV.")] = None,
    changes: SetOption = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Start with these weights: a checkpoint's folder, a run's, or a name.")
    ] = None,
    heads_of: Annotated[
        str | None, typer.Option(help="Train only new heads on the trunk of this checkpoint, in 100 steps.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped or killed.")] = False,
    validation_pairs: Annotated[int | None, typer.Option(help="Mixtures per validation; default: 32.", min=1)] = None,
    keep: Annotated[
        int | None, typer.Option(help="How many states to resume from stay on disk; default: 2.", min=1)
    ] = None,
    tensorboard: Annotated[bool | None, typer.Option("--tensorboard", help="Also write logs for TensorBoard.")] = None,
    root: RootOption = None,
    frame_rate: RateOption = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Do not train; see at which learning rates the loss falls.")
    ] = False,
) -> None:
    """Train a model, here or on many GPUs (accelerate launch -m sopedu train …).

    Python: sopedu.train_run(folder)
    """
    from sopedu.config import preset as preset_named
    from sopedu.config import with_values
    from sopedu.model.heads import heads_config
    from sopedu.training import requested, train_run
    from sopedu.training.resume import RESUME_STATUS

    if heads_of is not None and not resume:
        start = heads_config(heads_of)
    else:
        start = requested(out).config if resume and not preset else preset_named(preset or "tiny")
    config, first = with_values(start, changes or []), os.environ.get("RANK", "0") == "0"
    if find_rate:
        if resume:
            raise SopeduError("--find-rate begins anew: leave out --resume, and give it a folder of its own")
        _find_rate(config, out, data or "toyband", start_from)
        return
    if first:
        _print_training_plan(config, out, data or "toyband", resume)
    run = train_run(
        out, config, data, start_from, resume, validation_pairs, keep, tensorboard, say=typer.echo, heads_of=heads_of,
        root=root, frame_rate=frame_rate,
    )  # fmt: skip
    if first:
        _print_training_end(run, out)
    if run.interrupted:
        raise typer.Exit(130)
    if run.terminated:
        raise typer.Exit(RESUME_STATUS)


def _find_rate(config: Config, out: Path, data: str, start_from: str | None) -> None:
    from sopedu.cli.plans import training_seconds
    from sopedu.folders import require_new_folder
    from sopedu.training import find_rate
    from sopedu.training.estimate import spoken

    require_new_folder(out)
    typer.echo(
        f"plan: try learning rates of preset {config.name} on {data}, 100 steps of {config.training.batch_size} "
        f"mixtures, about {spoken(training_seconds(config, 100))} once the clips are read; results go to {out}"
    )
    found = find_rate(out, config, data, start_from, say=typer.echo)
    typer.echo(
        f"{found.describe()}\n{out / 'learning_rate.png'}\n"
        f"to take it: --set training.learning_rate={found.suggestion:.1e} "
        f"--set training.frame_learning_rate={found.suggestion * found.ratio:.1e}"
    )


def _print_training_plan(config: Config, out: Path, data: str, resume: bool) -> None:
    from sopedu.cli.plans import training_seconds
    from sopedu.training import newest_step, requested, require_new_run
    from sopedu.training.estimate import spoken

    done, data = (newest_step(out / "resume"), requested(out).data) if resume else (0, data)
    if not resume and os.environ.get("WORLD_SIZE", "1") == "1":  # else the other processes would wait
        require_new_run(out)
    steps, batch = max(0, config.training.steps - done), config.training.batch_size
    typer.echo(
        f"plan: train preset {config.name} on {data}, {counted(steps, 'step')} of {counted(batch, 'mixture')}, "
        f"about {spoken(training_seconds(config, steps))} once the clips are read; results go to {out}"
    )


def _print_training_end(run: Run, out: Path) -> None:
    from sopedu.training import requested

    asked = requested(out)
    ending = "ended by a signal" if run.terminated else "interrupted" if run.interrupted else "done"
    typer.echo(f"{ending} after {counted(run.step, 'step')}, {run.seconds:.0f} s ({run.precision} on {run.device})")
    if run.stop:
        command = ["sopedu", "train", "--out", str(out), "--resume"]
    else:
        command = ["sopedu", "evaluate", str(out / "checkpoint"), "--data", asked.data]
        command += [] if asked.root is None else ["--root", asked.root]
        command += [] if asked.frame_rate is None else ["--frame-rate", f"{asked.frame_rate:g}"]
    typer.echo(f"{out / 'checkpoint'}\nnext: {shlex.join(command)}")


app.command()(evaluate)
app.command()(ratings)
app.command()(health)
app.command()(weights)
app.command()(import_original)
app.command()(lessons)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders that sopedu train wrote, or files of histories.")],
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the learning curves into this PNG file.", callback=writable)
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Compare runs: settings that differ, losses, SDR, speed.

    Python: sopedu.compare_runs(folders)
    """
    from sopedu.experiments import compare_runs, comparison_table, plot_comparison
    from sopedu.plots import save_figure

    say, goals = printer(json_file), [f"{path}" for path in (plot, json_file) if path is not None]
    goal = f"; results go to {' and '.join(goals)}" if goals else ""
    say(f"plan: compare {', '.join(map(str, runs))}, a few seconds{goal}")
    rows = compare_runs(runs)
    say(comparison_table(rows))
    if plot is not None:
        say(f"learning curves: {save_figure(plot, plot_comparison(runs))}")
    write_figures(json_file, {"runs": rows})


@app.command()
def separate(
    video: Annotated[Path, typer.Argument(help="A video with picture and sound, of any format and length.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="A checkpoint's folder, a run's, or toyband (the default), toyband-tiny, music.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the results; default: the next separated/VIDEO-NNN.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(help="Region x0,y0,x1,y1 in fractions of width and height, or name=x0,y0,x1,y1; can be repeated."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="Find objects: toyband, faster-rcnn, owlv2:violin,piano, or a .json or .csv file of boxes."),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="How to combine a region's cells: features, energy or area (soft in wide boxes).")
    ] = None,
    start: Annotated[str, typer.Option(help="Where to begin, in seconds or as [h:]m:s.")] = "0",
    end: Annotated[str | None, typer.Option(help="Where to end; default: the end of the video.")] = None,
    normalise: Annotated[bool, typer.Option("--normalise", help="Make the regions add up to the whole sound.")] = False,
    keep_rate: Annotated[bool, typer.Option("--keep-rate", help="Write WAV at the video's own sample rate.")] = False,
    cells: Annotated[int, typer.Option(help="Also write this many of the loudest cells as WAV.", min=0, max=16)] = 0,
    picture_stream: Annotated[int | None, typer.Option(help="Number of the picture stream, if there are more.")] = None,
    sound_stream: Annotated[int | None, typer.Option(help="Number of the sound stream, if there are more.")] = None,
    device: DeviceOption = "auto",
    json_file: JsonOption = None,
) -> None:
    """Separate the sounds of regions, map where sound comes from.

    Python: sopedu.separate_video(video, checkpoint)
    """
    from sopedu.files import printable
    from sopedu.folders import next_free_folder
    from sopedu.model.checkpoints import SHIPPED, load_checkpoint
    from sopedu.separation import separate_video

    say, boxes = printer(json_file), parse_boxes(box or [])
    span = {"start": parse_time("--start", start), "end": None if end is None else parse_time("--end", end)}
    loaded = load_checkpoint(checkpoint or SHIPPED, device)
    say(f"model: {loaded.describe()}")
    out = out or next_free_folder(Path("separated"), printable(video.stem)[:80])
    streams = {"picture_stream": picture_stream, "sound_stream": sound_stream}
    regions = len(boxes) or 2
    what = "the objects that a detector finds" if detector else counted(regions, "region")
    say(f"plan: separate {what} of {_length_and_duration(video, regions, **streams, **span)}; results go to {out}")
    result = separate_video(
        video, loaded, out, boxes, normalise=normalise, keep_rate=keep_rate, cells=cells, detector=detector,
        pooling=pooling, **streams, **span,
    )  # fmt: skip
    for note in (result["hint"], *result["notes"]):
        say(f"note: {note}")
    for name in sorted(path.name for path in out.iterdir()):
        say(f"  {out / name}")
    say(f"next: open {out / 'report.html'} in a browser")
    write_figures(json_file, result)


def _length_and_duration(
    video: Path, regions: int, picture_stream: int | None, sound_stream: int | None, start: float, end: float | None
) -> str:
    """Return the part of a plan with the length of the video and the estimated duration."""
    from sopedu.cli.plans import separation_seconds
    from sopedu.files import printable
    from sopedu.separation.parts import VideoPart
    from sopedu.training.estimate import spoken
    from sopedu.video import probe

    part = VideoPart(probe(video, picture_stream, sound_stream), start, end)
    duration = spoken(separation_seconds(part.info, part.seconds, 1 + regions))
    return f"{part.seconds:.1f} s of {printable(str(video))}, about {duration}"


@app.command()
def benchmark(
    preset: Annotated[str, typer.Option(help="Which preset's training to measure.")] = "tiny",
    data: Annotated[str | None, typer.Option(help="An index CSV to read from; default: rendered solos.")] = None,
    steps: Annotated[int, typer.Option(help="How many times to measure each step, in turns.", min=1)] = 5,
    changes: SetOption = None,
    json_file: JsonOption = None,
) -> None:
    """Measure loader and training step on this machine.

    Python: sopedu.run_benchmark(config)
    """
    from sopedu.cli.plans import benchmark_seconds
    from sopedu.config import preset as preset_named
    from sopedu.config import with_values
    from sopedu.training import run_benchmark
    from sopedu.training.estimate import spoken

    say, config = printer(json_file), with_values(preset_named(preset), changes or [])
    duration = spoken(benchmark_seconds(steps))
    say(f"plan: measure loader and training step of preset {config.name} on this machine, about {duration}"
        f"{goal_of(json_file)}")  # fmt: skip
    figures = run_benchmark(config, steps, data)
    for name, value in figures.items():
        say(f"{name:36}{value}")
    write_figures(json_file, figures)


def main() -> None:
    """Run the command line; a mistake that a user can put right is one line and exit status 2."""
    run_command(app)


if __name__ == "__main__":
    main()
