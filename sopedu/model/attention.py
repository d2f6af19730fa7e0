"""A synthesizer whose visual vectors attend to the sound before the inner product (``model.synthesizer=attention``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from sopedu.config import Registry
from sopedu.model.nets import Synthesizer

#: Places of the spectrogram that a query attends to, at most.
_PLACES = 256
#: Width of queries and keys.
_WIDTH = 32


class AttentionSynthesizer(Synthesizer):
    """The inner product with visual vectors that are adapted to the mixture by attention.

    A vector says what an instrument sounds like in general. Here it becomes a query to some hundred places of the
    spectrogram, each described by its K components, and what the query finds there is added to the vector. So the mask
    can follow the instrument that is heard. The addition starts at zero: an untrained attention is the plain product.

    Args:
        components: K.

    Source: Vaswani et al. 2017; queries from pictures as in iQuery (Chen et al. 2023).
    """

    def __init__(self, components: int) -> None:
        super().__init__(components)
        self.query = nn.Linear(components, _WIDTH)
        self.key = nn.Linear(components, _WIDTH)
        self.value = nn.Linear(components, _WIDTH)
        self.found = nn.Linear(_WIDTH, components)
        nn.init.zeros_(self.found.weight)
        nn.init.zeros_(self.found.bias)

    def forward(self, visual: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Compute mask logits ``(B, N, P · Q, T)``.

        Args:
            visual: ``(B, N, K)``; N counts the sources of a mixture, or the cells of a feature map.
            components: ``(B, K, P · Q, T)``; P is 1, or 2 for complex masks.
        """
        return super().forward(visual + self.context(visual, components), components)

    def context(self, visual: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Compute what attention adds to visual vectors, ``(B, N, K)``.

        Args:
            visual: ``(B, N, K)``.
            components: ``(B, K, P · Q, T)``.
        """
        places = components.flatten(2)
        # An odd step visits every column of a spectrogram whose width is a power of two.
        step = max(1, places.shape[2] // _PLACES) | 1
        heard = places[..., ::step].transpose(1, 2).to(visual.dtype)
        attended = F.scaled_dot_product_attention(self.query(visual), self.key(heard), self.value(heard))
        return self.found(attended)


#: Synthesizers by the values of ``model.synthesizer``; each is built from K.
SYNTHESIZERS: Registry[type[Synthesizer]] = Registry(
    "model.synthesizer", {"product": Synthesizer, "attention": AttentionSynthesizer}
)
