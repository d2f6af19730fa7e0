"""Pretrained detectors of other libraries behind our interface (notebook 12_objects_and_their_sounds).

The weights are downloaded at first use; without a network a one-line error says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.errors import SopeduError
from sopedu.localization.places import out_of_view
from sopedu.objects.detection import Detections, make_detections, suppress_overlaps

OWLV2 = "google/owlv2-base-patch16-ensemble"
_LEAST_SIDE = 1e-3  # as a fraction of the picture; thinner boxes, mostly at its border, are dropped
_INSTEAD = "or choose another detector: toyband, or a box file NAME.json or NAME.csv"


@dataclass(frozen=True)
class FasterRCNN:
    """A detection net of torchvision, by default Faster R-CNN with the 80 classes of COCO.

    COCO has no instruments, but persons: use it to separate by person, or :class:`OpenVocabulary` to find instruments.

    Attributes:
        net: a net of ``torchvision.models.detection`` that returns boxes, labels and scores, in evaluation mode.
        categories: the name of every label; detections of ``__background__`` and ``N/A`` are dropped.
        least_score: detections with a lower score are dropped.

    Source:
        Ren et al., "Faster R-CNN", 2015.
    """

    net: torch.nn.Module
    categories: Sequence[str]
    least_score: float = 0.5

    @classmethod
    def pretrained(cls, least_score: float = 0.5) -> FasterRCNN:
        """Load torchvision's weights (167 MB); they are kept in its cache, which ``TORCH_HOME`` moves.

        Args:
            least_score: detections with a lower score are dropped.

        Returns:
            The detector.

        Raises:
            SopeduError: if the weights are not in the cache and cannot be downloaded, or are damaged.
        """
        from torchvision.models.detection import FasterRCNN_ResNet50_FPN_V2_Weights, fasterrcnn_resnet50_fpn_v2

        weights = FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1
        categories = weights.meta["categories"]
        try:
            state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except Exception as error:  # torch's reader may raise almost any error on a damaged file
            raise SopeduError(
                f"faster-rcnn: its weights {weights.url.rpartition('/')[2]} cannot be downloaded or read "
                f"({_first_line(error)}); connect once (they are kept in {torch.hub.get_dir()}/checkpoints, which "
                f"TORCH_HOME moves), {_INSTEAD}"
            ) from error
        net = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=len(categories))
        net.load_state_dict(state)
        return cls(net.eval(), categories, least_score)

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> list[Detections]:
        """Detect objects.

        Args:
            frames: pictures ``(S, H, W, 3)`` uint8.

        Returns:
            One :class:`Detections` per picture.
        """
        height, width = frames.shape[1:3]
        results = []
        for picture in frames:  # one by one: memory is that of one picture, and on a CPU a batch is no faster
            shown = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
            output = self.net([shown])[0]
            boxes = (output["boxes"] / torch.tensor([width, height, width, height])).clamp(0, 1).double().numpy()
            names, scores = [self.categories[i] for i in output["labels"].tolist()], output["scores"].numpy()
            known = np.array([name not in ("__background__", "N/A") for name in names], bool)
            whole = known & (scores >= self.least_score) & (boxes[:, 2:] - boxes[:, :2] > _LEAST_SIDE).all(1)
            results.append(make_detections(boxes, names, scores).only(np.flatnonzero(whole)))
        return results


@dataclass(frozen=True)
class OpenVocabulary:
    """OWLv2, a detector that finds the objects that you name, through transformers.

    Attributes:
        net: ``Owlv2ForObjectDetection`` in evaluation mode.
        processor: the ``Owlv2Processor`` that belongs to the net.
        words: what to look for; they become the labels.
        least_score: detections with a lower score are dropped. Scores of this model are low: 0.3 is quite sure.
        prompt: the text around each word.

    Source:
        Minderer, Gritsenko and Houlsby, "Scaling Open-Vocabulary Object Detection", 2023.
    """

    net: Any
    processor: Any
    words: Sequence[str]
    least_score: float = 0.2
    prompt: str = "a photo of a {}"

    @classmethod
    def pretrained(cls, words: Sequence[str], name: str = OWLV2, least_score: float = 0.2) -> OpenVocabulary:
        """Load weights by name (the default: 155 million parameters, 620 MB), kept in huggingface_hub's cache.

        Args:
            words: what to look for, e.g. ``("violin", "piano")``.
            name: a model of the OWLv2 family, or a folder that holds one.
            least_score: detections with a lower score are dropped.

        Returns:
            The detector.

        Raises:
            SopeduError: if transformers is not installed, or the model is not in the cache and cannot be downloaded.
        """
        try:
            from transformers import Owlv2ForObjectDetection, Owlv2Processor
        except ImportError as error:
            raise SopeduError(f'owlv2: needs transformers; pip install "sopedu[detect]", {_INSTEAD}') from error
        here = Path(name).is_dir()
        where = {"local_files_only": here or not _hub_reachable(name)}
        try:
            processor = Owlv2Processor.from_pretrained(name, **where)
            net = Owlv2ForObjectDetection.from_pretrained(name, use_safetensors=True, **where)  # never a pickle
        except (OSError, ValueError) as error:
            offline = where["local_files_only"] and not here
            reason = "huggingface_hub reaches no server" if offline else _first_line(error)
            raise SopeduError(
                f"owlv2: {name} is neither in the cache nor can it be read or downloaded ({reason}); connect once (it "
                f"is kept in the cache of huggingface_hub, which HF_HOME moves), {_INSTEAD}"
            ) from error
        return cls(net.eval(), processor, tuple(words), least_score)

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> list[Detections]:
        """Detect the named objects.

        Args:
            frames: pictures ``(S, H, W, 3)`` uint8.

        Returns:
            One :class:`Detections` per picture, the most confident object first.

        Raises:
            SopeduError: if a word is longer than the model reads.
        """
        height, width = frames.shape[1:3]
        # The processor pads the picture to a square, at the right or below.
        side = max(height, width)
        view = (0.0, 0.0, side / width, side / height)
        texts = [self.prompt.format(word.replace("_", " ")) for word in self.words]
        results = []
        for picture in frames:  # one by one: each is 3600 patches
            try:
                given = self.processor(
                    text=[texts], images=[picture], return_tensors="pt", input_data_format="channels_last"
                )
            except ValueError as error:  # raised by texts that are longer than the model takes
                longest = max(self.words, key=len)
                raise SopeduError(f"owlv2: {longest!r:.60} is more than it reads; write shorter words") from error
            output = self.net(**given)
            scores, which = torch.sigmoid(output.logits[0]).max(-1)
            middle, size = output.pred_boxes[0].double().split(2, -1)
            corners = torch.cat([middle - size / 2, middle + size / 2], -1)
            boxes = np.array([out_of_view(tuple(box), view) for box in corners.tolist()]).clip(0, 1)
            seen = make_detections(boxes, [self.words[i] for i in which.tolist()], scores.numpy())
            whole = (seen.scores >= self.least_score) & (boxes[:, 2:] - boxes[:, :2] > _LEAST_SIDE).all(1)
            results.append(suppress_overlaps(seen.only(np.flatnonzero(whole))))
        return results


def _hub_reachable(name: str) -> bool:
    """Whether the hub can be reached; checked once, because without a network each file takes half a minute to fail."""
    from huggingface_hub import constants, get_session

    try:
        get_session().get(f"{constants.ENDPOINT}/{name}/resolve/main/config.json", timeout=10)
    except Exception:  # the exception depends on the version of the client; the model may be in the cache
        return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
