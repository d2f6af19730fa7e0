"""Whether pictures are shown in step with the sound: both clocks are read in the page, 100 times per second.

The picture's clock is read from the pixels: each picture is grey, and its grey is its number. A picture stands for its
period, from its own time to that of the next one. So the error at an instant is how far the sound's position lies
outside of the period of the picture that is on the canvas: 0 while the right one is shown, and the delay after a change
that is late. The period itself is no error; it is printed beside it. Where a page was too busy to be read for more than
40 ms, the picture that was read before counts until the next reading.
"""

from __future__ import annotations

import numpy as np

# A canvas, and an expression for the sound's position in seconds. Read by a timer: at any instant, not after drawing.
WATCH = """() => {
  const canvas = %s;
  window.seen = [];
  window.looking = setInterval(() => {
    const [x, y] = [Math.round(canvas.width / 4), Math.round(canvas.height / 4)];
    window.seen.push([%s, canvas.getContext("2d").getImageData(x, y, 1, 1).data[0]]);
  }, 10);
}"""
SEEN = "() => (clearInterval(window.looking), window.seen)"


def numbered_pictures(count: int) -> np.ndarray:
    """Grey pictures (n, 64, 64, 3); picture n has the grey 10 + 3 n, which lossy coding keeps to one step."""
    grey = 10 + 3 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (count, 64, 64, 3)).copy()


def report(what: str, samples: list, seconds: float, period: float) -> None:
    """Print the figures; hold the median and 95 % of all instants within 40 ms, since a busy machine may hiccup."""
    sound, grey = np.array(samples, float).T
    number = np.rint((grey - 10) / 3)
    playing = (sound > 0.05) & (sound < seconds - 0.05)
    sound, first = sound[playing], number[playing] * period
    early, late = np.maximum(first - sound, 0), np.maximum(sound - first - period, 0)
    blind = np.diff(sound, append=sound[-1]) > 0.04
    late[blind] = np.maximum(late[blind], np.roll(sound, -1)[blind] - first[blind] - period)
    error = 1000 * np.maximum(early, late)
    steps = len(np.unique(number[playing]))
    print(
        f"\n{what}: {len(error)} instants over {np.ptp(sound):.1f} s, {steps} pictures of {1000 * period:.0f} ms; "
        f"error: median {np.median(error):.1f} ms, 99 % within {np.quantile(error, 0.99):.1f} ms, "
        f"largest {error.max():.1f} ms; longest without a reading {1000 * np.diff(sound).max():.0f} ms; "
        f"instants with the right picture {np.mean(error == 0):.1%}, within 40 ms {np.mean(error <= 40):.1%}"
    )
    assert np.ptp(sound) > 0.9 * seconds and steps > 0.9 * seconds / period
    assert np.median(error) <= 40
    assert np.mean(error <= 40) >= 0.95
