"""Trained models that others published: fetch their files once, check them, and keep them as ordinary checkpoints."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sopedu.config import preset
from sopedu.download import download
from sopedu.errors import SopeduError
from sopedu.files import require_file, writing
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.model.original import import_original
from sopedu.shipped import fetched_folder

_LARGEST = 2**29  # bytes of one file


@dataclass(frozen=True)
class Published:
    """A trained model that others published in the files of the original code.

    Attributes:
        address: of the folder that holds the files.
        files: their names: frame net, sound net, synthesizer.
        megabytes: size of all files together, about.
        about: what the model is, in one line.
        trained_on: notes of the training, as in a checkpoint.
        class_names: of the classes it was trained on.
        licence: what is said about it.
        code: where the authors' code is.
        preset: whose model the files must hold.
        options: of :func:`sopedu.import_original`, which the files do not hold.
    """

    address: str
    megabytes: int
    about: str
    trained_on: Mapping[str, Any]
    class_names: tuple[str, ...]
    licence: str
    code: str
    files: tuple[str, str, str] = ("frame_best.pth", "sound_best.pth", "synthesizer_best.pth")
    preset: str = "paper"
    options: Mapping[str, str] = field(default_factory=dict)


#: The published models by name. The options of the original code that this model's name and the authors' script for its
#: evaluation do not set have their default values: sigmoid, no and sigmoid for the three activations.
PUBLISHED = {
    "music": Published(
        address=(
            "http://sound-of-pixels.csail.mit.edu/release/MUSIC-2mix-LogFreq-resnet18dilated-unet7-linear-"
            "frames3stride24-maxpool-binary-weightedLoss-channels32-epoch100-step40_80"
        ),
        megabytes=166,
        about="The Sound of Pixels by its authors: filmed instruments of the data set MUSIC, K = 32",
        trained_on={"data": "MUSIC", "epochs": 100, "by": "the authors of The Sound of Pixels"},
        class_names=(
            *("accordion", "acoustic_guitar", "cello", "clarinet", "erhu", "flute"),
            *("saxophone", "trumpet", "tuba", "violin", "xylophone"),
        ),
        licence="none is stated with the files; ask the authors before you publish or sell what is made with them",
        code="https://github.com/hangzhaomit/Sound-of-Pixels",
        options={
            "frame_net": "resnet18dilated",
            "pooling": "maxpool",
            "visual_activation": "sigmoid",
            "audio_activation": "no",
            "mask_activation": "sigmoid",
            "target": "binary",
        },
    )
}


def fetch_weights(
    name: str = "music",
    source: str | Path | None = None,
    address: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Fetch a published model once, check it, and keep it in the cache, where its name finds it.

    A download that was stopped or killed continues with the next call. The model appears under its name only when it is
    complete, with ``README.md``, which says where it is from and what its files hash to.

    Args:
        name: ``music``, the model that the authors of *The Sound of Pixels* published.
        source: a folder that holds the files already; nothing is downloaded.
        address: of a folder with the same files elsewhere; default: ``$SOPEDU_WEIGHTS_URL``, else the authors'.
        progress: show bars with size, rate and time left.
        say: prints a line.

    Returns:
        The folder of the checkpoint, for :func:`sopedu.load_checkpoint`; the name does the same.

    Raises:
        SopeduError: the name is unknown; the files cannot be fetched (the line says what to fetch by hand), are not
            those of the original code, or hold another model; there is no place to keep it.

    Source: Zhao et al., ECCV 2018, and the files that its authors published.
    """
    from filelock import FileLock, Timeout

    if name not in PUBLISHED:
        raise SopeduError(f"{name!r:.60}: no such published model is known; there is {', '.join(PUBLISHED)}")
    published, folder = PUBLISHED[name], fetched_folder(name)
    if source is None and address is None and _is_whole(folder):
        say(f"{name} is there already: {folder}")
        return folder
    downloads = folder.parent / f".{name}.download"
    with writing(folder):
        downloads.mkdir(parents=True, exist_ok=True)
    lock = FileLock(downloads.with_suffix(".lock"), timeout=0)
    try:
        with lock:
            if source is None:
                origin = (address or os.environ.get("SOPEDU_WEIGHTS_URL") or published.address).rstrip("/")
                say(f"from {origin}/")
                paths = _downloaded(name, published, origin, downloads, progress)
            else:
                origin, paths = f"files in {source}", _files_in(Path(source), published)
            say("reading and checking the files")
            _keep(name, published, paths, origin, folder, downloads)
    except Timeout as error:
        raise SopeduError(f"{name}: another process is fetching it; wait for it") from error
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether a fetched checkpoint is there and can be read."""
    try:
        return (folder / "config.json").exists() and bool(load_checkpoint(folder))
    except SopeduError:
        return False


def _downloaded(name: str, published: Published, address: str, downloads: Path, progress: bool) -> list[Path]:
    """Download the files; an error also says how to go without a network."""
    paths = [downloads / _key(address) / file for file in published.files]
    try:
        return [download(f"{address}/{path.name}", path, _LARGEST, progress) for path in paths]
    except SopeduError as error:
        what, files = str(error).removeprefix(f"{address}/"), ", ".join(published.files)
        by_hand = f"fetch {files} from {address}/ into a folder, then sopedu weights {name} --from FOLDER"
        raise SopeduError(f"{what}. By hand: {by_hand}") from error


def _key(address: str) -> str:
    """A name for what comes from an address, so that files from two addresses are never mixed."""
    return hashlib.sha256(address.encode()).hexdigest()[:12]


def _files_in(folder: Path, published: Published) -> list[Path]:
    missing = [file for file in published.files if not (folder / file).is_file()]
    if missing:
        raise SopeduError(
            f"{folder}: does not hold {', '.join(missing)}; fetch {'them' if missing[1:] else 'it'} from "
            f"{published.address}/"
        )
    return [require_file(folder / file) for file in published.files]


def _keep(name: str, published: Published, paths: list[Path], origin: str, folder: Path, downloads: Path) -> None:
    """Read the files and write the checkpoint; then what was downloaded is of no more use."""
    try:
        checkpoint = _checked(import_original(*paths, **published.options), published, paths)
    except SopeduError as error:
        for path in paths:
            if path.is_relative_to(downloads):
                path.unlink()  # it is wrong, and must not be taken again
        raise SopeduError(f"{error} (it is from {origin})") from error
    hashes = {path.name: _sha256(path) for path in paths}
    day = datetime.now(UTC).date().isoformat()
    notes = {**published.trained_on, **checkpoint.trained_on, "origin": origin, "fetched": day, "sha256": hashes}
    notes["licence"] = published.licence
    kept = replace(checkpoint, class_names=published.class_names, trained_on=notes)
    save_checkpoint(folder, kept, card=_card(name, published, notes))
    shutil.rmtree(downloads, ignore_errors=True)


def _checked(checkpoint: Checkpoint, published: Published, paths: list[Path]) -> Checkpoint:
    """Refuse files of another model than the published one."""
    expected, found = (config.model for config in (preset(published.preset), checkpoint.config))
    if found != replace(expected, frame_weights="none"):
        raise SopeduError(
            f"{paths[0].parent}: holds another model (K = {found.components}, channels {found.audio_channels}) than "
            f"the published one (K = {expected.components}, channels {expected.audio_channels}); "
            "sopedu import-original reads any"
        )
    return checkpoint


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _card(name: str, published: Published, notes: Mapping[str, Any]) -> str:
    hashes = "\n".join(f"- `{file}`: `{digest}`" for file, digest in notes["sha256"].items())
    options = ", ".join(f"{option} {value}" for option, value in published.options.items())
    return f"""# Model card: {name}

**What it is.** {published.about}. Trained by {notes["by"]} on {notes["data"]} for {notes["epochs"]} epochs; classes:
{", ".join(published.class_names)}.

**Where it is from.** {notes["origin"]}, fetched on {notes["fetched"]} (UTC). The authors' address is
{published.address}/, their code {published.code}.

**Licence.** {published.licence[0].upper()}{published.licence[1:]}. sopedu neither contains nor distributes these files.

**How it was read.** `sopedu.import_original` with {options}. SHA-256 of the files:

{hashes}

**What to expect.** It was trained on films in which these instruments are played. Other sounds and other
pictures may go anywhere. Scores were not measured here: `sopedu evaluate {name} --data INDEX` does.
"""
