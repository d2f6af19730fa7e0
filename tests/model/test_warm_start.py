"""The warm start: what is shipped, and files that do not fit."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.model.nets import FrameNet
from sopedu.model.warm_start import WARM_START, load_warm_start

SMALL = with_values(preset("tiny"), ["model.frame_width=8", "frames.size=32", "frames.resize=32"])


def test_a_warm_start_that_is_missing_or_does_not_fit_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.safetensors").write_text("this is no weights file")
    for path, net, message in (
        (
            tmp_path / "nothing.safetensors",
            SMALL,
            "nothing.safetensors: no warm start there; make it with `make warm-start`",
        ),
        (WARM_START, SMALL, "fits the frame net of preset tiny only"),
        (tmp_path / "text.safetensors", preset("tiny"), "text.safetensors"),
    ):
        with pytest.raises(SopeduError, match=message) as caught:
            load_warm_start(FrameNet(net.model), path)
        assert "\n" not in str(caught.value)


def test_the_shipped_file_is_small_and_holds_the_body_of_the_tiny_frame_net():
    assert WARM_START.stat().st_size <= 10**6
    with safe_open(WARM_START, "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    body = FrameNet(preset("tiny").model).body.state_dict()
    assert shapes == {name: tuple(value.shape) for name, value in body.items()}
    assert all(bool(torch.isfinite(value).all()) for value in load_file(WARM_START).values())
