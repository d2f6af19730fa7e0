"""Write videos that every browser plays: mp4 with H.264 and AAC, every picture at its own time.

>>> with VideoWriter("out.mp4", sound=[waveform], sample_rate=11025) as writer:
...     for time, picture in iterate_frames("in.mp4"):
...         writer.add(time, picture)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sopedu.audio.resampling import resample_blocks
from sopedu.audio.soundfiles import peak_limited
from sopedu.errors import SopeduError
from sopedu.files import written_aside

# Some players take AAC of low sample rates for another format (HE-AAC); this rate plays everywhere.
WRITTEN_SAMPLE_RATE = 44100
# Pictures at 24, 25, 30, 50, 60 and 30000/1001 per second last a whole number of its ticks.
_CLOCK = Fraction(1, 90_000)
_SOUND_CLOCK = Fraction(1, WRITTEN_SAMPLE_RATE)


class VideoWriter:
    """An mp4 file to which pictures are added one by one; sound is read in step, so memory does not grow.

    Use it in a ``with`` statement: the file appears under its name only if that ends without an error. Pictures keep
    their times, at an even or a varying rate. H.264 needs even sizes: the last column or row of an odd width or height
    is repeated.

    Args:
        path: ends in .mp4; the folder must exist.
        frame_rate: pictures per second; a hint for the encoder where their times vary.
        sound: blocks ``(n,)`` of a mono waveform in [-1, 1], an iterable of any length, or None for a silent video.
        sample_rate: of the sound, in hertz.
        crf: quality, from 0 (lossless) over 18 (hard to tell from the original) to 51 (poor).
        effort: preset of x264: a slower one makes smaller files of the same quality.
        pixel_aspect: width of a pixel over its height.

    Raises:
        SopeduError: a name that does not end in .mp4, no folder, sound without its rate; while adding: a picture of
            another size or not uint8 RGB, one that is not later than the last; while closing: no pictures.
    """

    def __init__(
        self,
        path: str | Path,
        frame_rate: float | None = None,
        sound: Iterable[np.ndarray] | None = None,
        sample_rate: int | None = None,
        crf: int = 20,
        effort: str = "medium",
        pixel_aspect: Fraction | float = 1,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise SopeduError(f"{path}: a video is written as mp4; end the name in .mp4")
        if sound is not None and not sample_rate:
            raise SopeduError(f"{path}: a waveform needs its sample rate; pass sample_rate=…")
        self._sound: Iterator[np.ndarray] | None = None
        if sound is not None:
            self._sound = resample_blocks(sound, sample_rate, WRITTEN_SAMPLE_RATE)
        # The encoder plans its bits by the rate; a wrong rate from a damaged header must not make it fail.
        self._rate = Fraction(min(max(frame_rate or 25.0, 1.0), 240.0)).limit_denominator(1001)
        self._quality = {"crf": str(crf), "preset": effort}
        self._aspect = Fraction(pixel_aspect).limit_denominator(255)
        self._last: tuple[int, tuple[int, ...]] | None = None  # time on the clock and shape of the last picture
        self._pictures = self._samples = 0
        self._held = np.zeros(0, np.float32)

    def __enter__(self) -> VideoWriter:
        """Open the file under a temporary name."""
        import av

        with ExitStack() as stack:
            stack.enter_context(_encoding(self.path))
            unfinished = stack.enter_context(written_aside(self.path))
            self._container = stack.enter_context(
                av.open(str(unfinished.absolute()), "w", container_options={"movflags": "+faststart"})
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and rename it, or remove it after an error."""
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:  # closes the container, then gives the file its name
            if self._last is None:
                raise SopeduError(f"{self.path}: there are no pictures to write")
            self._draw_sound(None)
            self._container.mux(self._picture_stream.encode(None))
            if self._sound is not None:
                self._container.mux(self._sound_stream.encode(None))

    def add(self, time: float, picture: np.ndarray) -> None:
        """Add a picture.

        Args:
            time: seconds from which the picture is shown, later than that of the picture before.
            picture: ``(H, W, 3)`` uint8 RGB, of the same size as the first one.

        Raises:
            SopeduError: the picture has another type or size, or is not later than the one before.
        """
        shape = self._last[1] if self._last is not None else np.shape(picture)
        frame = _video_frame(self.path, picture, shape, self._pictures)
        if self._last is None:
            self._begin(shape)
        frame.pts, frame.time_base = round(time / _CLOCK), _CLOCK
        if self._last is not None and frame.pts <= self._last[0]:
            raise SopeduError(f"{self.path}: picture {self._pictures} at {time:.3f} s is not later than the one before")
        self._last = frame.pts, shape
        self._pictures += 1
        self._container.mux(self._picture_stream.encode(frame))
        self._draw_sound(time + 1 / self._rate)

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Open the streams, once the size is known."""
        stream = self._picture_stream = self._container.add_stream("libx264", rate=self._rate, options=self._quality)
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        stream.codec_context.time_base = stream.time_base = _CLOCK
        if self._aspect != 1:
            stream.codec_context.sample_aspect_ratio = self._aspect
        if self._sound is not None:
            self._sound_stream = self._container.add_stream("aac", rate=WRITTEN_SAMPLE_RATE, layout="mono")
            self._sound_stream.bit_rate = 128_000

    def _draw_sound(self, until: float | None) -> None:
        """Encode sound up to a time, in step with the pictures, so that the muxer does not have to keep either."""
        import av

        while self._sound is not None and (until is None or self._samples < until * WRITTEN_SAMPLE_RATE):
            if not len(self._held):
                self._held = next(self._sound, None)
                if self._held is None:
                    self._held = np.zeros(0, np.float32)
                    return
            block, self._held = self._held[:8192], self._held[8192:]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = WRITTEN_SAMPLE_RATE, self._samples, _SOUND_CLOCK
            self._container.mux(self._sound_stream.encode(frame))
            self._samples += len(block)


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    frame_rate: float,
    waveform: Any = None,
    sample_rate: int | None = None,
    crf: int = 20,
) -> None:
    """Write pictures and sound as an mp4 (H.264 and AAC) that every browser plays.

    Pictures are taken one at a time, so a generator of any length works. If sound and pictures differ in length, both
    are written in full. The file appears under its name only when it is complete.

    Args:
        path: ends in .mp4; the folder must exist.
        frames: (H, W, 3) uint8 RGB pictures, all of one size.
        frame_rate: pictures per second.
        waveform: (L,) array or tensor in [-1, 1], or None for a silent video. A peak above 1 scales it down.
        sample_rate: of the waveform, in hertz.
        crf: quality, from 0 (lossless) over 20 (good) to 51 (poor).

    Raises:
        SopeduError: as for :class:`VideoWriter`.
    """
    sound = None if waveform is None else [peak_limited(waveform)[0]]
    with VideoWriter(path, frame_rate, sound, sample_rate, crf) as writer:
        for number, picture in enumerate(frames):
            writer.add(float(number / Fraction(frame_rate).limit_denominator(1001)), picture)


@contextmanager
def _encoding(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors while writing into one line that names the file."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise SopeduError(
            f"{path}: cannot be written ({error.strerror}); free some space or choose another place"
        ) from error


def _video_frame(path: str | Path, picture: np.ndarray, shape: tuple[int, ...], count: int) -> Any:
    """(H, W, 3) uint8 → a frame of even size by repeating the last row or column."""
    import av

    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.shape != shape:
        raise SopeduError(
            f"{path}: picture {count} is {picture.dtype} {picture.shape}; "
            "pass uint8 pictures (H, W, 3), all of one size"
        )
    if shape[0] % 2 or shape[1] % 2:
        picture = np.pad(picture, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
