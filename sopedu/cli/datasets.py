"""``sopedu fetch``, ``prepare`` and ``pack``: films of a list, films that become a data set, one in tar files."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sopedu.cli.options import JsonOption, RootOption, SeedOption, printer, write_figures
from sopedu.errors import SopeduError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from sopedu.datasets.finishing import Prepared
    from sopedu.datasets.packing import Packing

_PROTOCOLS = "music, listed or seeded; default: as is usual for the source."


def fetch(
    path: Annotated[Path, typer.Argument(metavar="LIST", help="MUSIC (.json), VGGSound or AudioSet (.csv).")],
    out: Annotated[Path, typer.Option(help="Folder of the films; one that is there is continued.")],
    address: Annotated[str | None, typer.Option(help="Of a film, with {id} in it; default: YouTube.")] = None,
    height: Annotated[int, typer.Option(help="Of the pictures at most, in pixels.", min=144)] = 360,
    cookies: Annotated[Path | None, typer.Option(help="File of cookies, passed on to yt-dlp.")] = None,
    proxy: Annotated[str | None, typer.Option(help="Address of a proxy, passed on to yt-dlp.")] = None,
    limit: Annotated[int | None, typer.Option(help="How many films to ask for now; default: all.", min=1)] = None,
    json_file: JsonOption = None,
) -> None:
    """Fetch the films of a published list, one at a time.

    Whether you may is yours to know: terms of the site, licences of the films. Python: sopedu.datasets.fetch(list, out)
    """
    from sopedu.datasets.fetching import YOUTUBE
    from sopedu.datasets.fetching import fetch as fetch_films

    say = printer(json_file)
    say(
        f"plan: fetch the films of {path}, one at a time with pauses of 5 to 10 s, about 300 per hour; run it again "
        f"after a stop; films go to {out}"
    )
    done = fetch_films(path, out, address=address or YOUTUBE, height=height, cookies=cookies, proxy=proxy, limit=limit)
    say(_listed(done.states))
    for split, classes in done.coverage.items():
        have, total = (sum(numbers) for numbers in zip(*classes.values(), strict=True))
        least = sorted(classes, key=lambda label: classes[label][0] / classes[label][1])[:3]
        worst = ", ".join(f"{label} {classes[label][0]} of {classes[label][1]}" for label in least)
        say(f"{split or 'all'}: {have} of {total} clips of {len(classes)} classes have their film; least: {worst}")
    say(f"why films are missing: {done.out / 'clips.csv'}")
    write_figures(json_file, {"states": done.states, "coverage": done.coverage, "stopped": done.stopped})
    if done.stopped:
        raise SopeduError(f"stopped: {done.stopped}")
    say(f"next: sopedu prepare {path} --films {out} --out prepared")


def prepare(
    source: Annotated[
        Path | None,
        typer.Argument(help="A folder of class folders with films, a list (.json, .csv), or a folder of tar parts."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the data set; one that is there is continued.")] = ...,
    films: Annotated[Path | None, typer.Option(help="For a list: the folder with its films or tar parts.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one per core.", min=1)] = None,
    shard: Annotated[str | None, typer.Option(help="i/n: only the i-th of n parts; --merge follows the last.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Write the indexes after all shards have ended.")] = False,
    cluster: Annotated[str | None, typer.Option(help="Address of a scheduler of dask to work on its machines.")] = None,
    delete_source: Annotated[
        bool, typer.Option("--delete-source", help="Delete each film once its clips are on the disk.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also try clips again that could not be used.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds that a clip may take; default: ten times its film, at least 300.")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help=f"How clips are split: {_PROTOCOLS}")] = None,
    packed: Annotated[
        str | None, typer.Option("--pack", help="Then pack the clips into tar files of this size, such as 1GB.")
    ] = None,
    seed: SeedOption = 0,
    json_file: JsonOption = None,
) -> None:
    """Prepare films for training: sound, frames, indexes, a ledger.

    Python: sopedu.datasets.prepare(source, out)
    """
    from sopedu.datasets.disk import bytes_of
    from sopedu.datasets.finishing import merge_shards
    from sopedu.datasets.preparing import prepare as prepare_films

    say = printer(json_file)
    if packed is not None:
        bytes_of(packed, "--pack")
        if shard is not None:
            raise SopeduError("--pack belongs to the run that ends the data set: give it with --merge")
    if merge:
        if source is not None or shard is not None:
            raise SopeduError("--merge takes --out alone: leave out the source and --shard")
        done = merge_shards(out)
    elif source is None:
        raise SopeduError("no source: name a folder of films, a list, or tar parts (see --help)")
    else:
        say(f"plan: prepare {source} for training; run it again after a stop; results go to {out}")
        with _executor(cluster) as executor:
            done = prepare_films(
                source, out, films, jobs=jobs, executor=executor, shard=_parts(shard), delete_source=delete_source,
                again=again, protocol=protocol, seed=seed, time_limit=time_limit, say=say,
            )  # fmt: skip
    for note in done.notes:
        say(f"note: {note}")
    say(f"{_listed(done.states) or 'no new clips'}; {done.seconds / 3600:.2f} h of clips in {done.out}")
    if packed is not None and done.splits.get("train"):
        _pack([done.out], None, packed, jobs, None, say)
    else:
        say(_next(done, shard))
    write_figures(
        json_file, {"states": done.states, "splits": done.splits, "seconds": done.seconds, "notes": done.notes}
    )


def pack(
    data: Annotated[list[Path], typer.Argument(help="Folder of a prepared data set, or its index files.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the tar files; default: packed, in that of DATA.")] = None,
    size: Annotated[str, typer.Option(help="Of a tar file, about.")] = "1GB",
    root: RootOption = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one per core.", min=1)] = None,
    json_file: JsonOption = None,
) -> None:
    """Pack prepared clips into tar files, for disks that are slow with millions of small files.

    Trainings from them are the same, bit for bit; WebDataset reads them too. Python: sopedu.datasets.pack(data)
    """
    say = printer(json_file)
    done = _pack(data, out, size, jobs, root, say)
    write_figures(
        json_file, {"indexes": list(map(str, done.indexes)), "tars": done.tars, "clips": done.clips, "bytes": done.size}
    )


def _pack(
    data: list[Path], out: Path | None, size: str, jobs: int | None, root: Path | None, say: Callable[[str], object]
) -> Packing:
    from sopedu.datasets.disk import spoken_size
    from sopedu.datasets.packing import pack as pack_clips

    done = pack_clips(data, out, size, root=root, jobs=jobs, say=lambda line: say(f"plan: pack {line}"))
    say(f"{done.clips} clips in {done.tars} tar files, {spoken_size(done.size)}, in {done.out}")
    say(f"next: sopedu train --data {done.indexes[0]} --out runs/NAME")
    return done


#: The commands of this module.
COMMANDS = (fetch, prepare, pack)


def _next(done: Prepared, shard: str | None) -> str:
    if shard is not None:
        return f"next, after the last shard: sopedu prepare --out {done.out} --merge"
    reasons = "" if set(done.states) <= {"ok"} else f"why clips are missing: {done.out / 'clips.csv'}\n"
    if not done.splits.get("train"):
        return f"{reasons}next: correct the source, then run this again; there is nothing to train on yet"
    then = f"then: sopedu train --data {done.out / 'train.clean.csv'} --out runs/NAME"
    return f"{reasons}{_listed(done.splits)}\nnext: sopedu health {done.out} --page health.html --fix\n{then}"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def _parts(shard: str | None) -> tuple[int, int] | None:
    if shard is None:
        return None
    number, slash, of = shard.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal()):
        raise SopeduError(f"--shard {shard}: write i/n, such as 3/16")
    return int(number), int(of)


@contextmanager
def _executor(address: str | None) -> Iterator[Executor | None]:
    """Yield an executor that works on a cluster of dask, or None."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise SopeduError("--cluster needs dask: pip install 'sopedu[cluster]'") from error
    try:
        client = Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise SopeduError(f"--cluster {address}: no scheduler answers there ({error}); check its address") from error
    with client, client.get_executor() as executor:
        typer.echo(f"{len(client.nthreads())} workers on {address}", err=True)
        yield executor
