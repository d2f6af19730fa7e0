"""The attention synthesizer: the plain inner product at first, queries that meet the sound after."""

from __future__ import annotations

import torch

from sopedu.config import preset, with_values
from sopedu.model import AttentionSynthesizer, SoundOfPixels, Synthesizer


def synthesizer(components: int = 5) -> AttentionSynthesizer:
    torch.manual_seed(0)
    made = AttentionSynthesizer(components)
    torch.nn.init.normal_(made.found.weight)
    return made


def test_before_training_it_is_the_inner_product():
    torch.manual_seed(1)
    visual, components = torch.rand(2, 3, 5), torch.randn(2, 5, 8, 4)
    plain = Synthesizer(5)
    assert torch.equal(AttentionSynthesizer(5)(visual, components), plain(visual, components))


def test_it_attends_as_written_out():
    made = synthesizer()
    visual, components = torch.rand(2, 3, 5), torch.randn(2, 5, 8, 4)  # 32 places: all are attended to
    heard = components.flatten(2).transpose(1, 2)
    weights = torch.softmax(made.query(visual) @ made.key(heard).transpose(1, 2) / 32**0.5, dim=2)
    changed = visual + made.found(weights @ made.value(heard))
    expected = torch.einsum("k,bnk,bkqt->bnqt", made.scale, changed, components) + made.bias
    torch.testing.assert_close(made(visual, components), expected)


def test_a_query_does_not_depend_on_the_other_pictures_or_mixtures():
    made = synthesizer()
    visual, components = torch.rand(2, 3, 5), torch.randn(2, 5, 64, 32)
    whole = made(visual, components)
    torch.testing.assert_close(made(visual[:1, 1:2], components[:1])[0, 0], whole[0, 1])


def test_places_are_taken_from_every_column():
    made = synthesizer(2)
    visual, silent = torch.rand(1, 1, 2), torch.zeros(1, 2, 256, 32)
    quiet = made.context(visual, silent)
    for column in range(32):
        loud = silent.clone()
        loud[..., column] = 3.0
        assert not torch.allclose(made.context(visual, loud), quiet)


def test_a_model_with_attention_has_more_parameters_and_separates_by_it():
    config = with_values(preset("tiny"), ["model.synthesizer=attention", "model.components=4"])
    model = SoundOfPixels(config).eval()
    torch.nn.init.normal_(model.synthesizer.found.weight, 0, 10)
    heard, seen = torch.randn(1, 1, 128, 32), torch.randn(1, 2, 1, 3, 64, 64)
    with torch.inference_mode():
        logits = model(heard, seen)
        components = model.components(heard)
        vectors = model.visual(seen.flatten(0, 1)).unflatten(0, (1, 2))
        torch.testing.assert_close(logits, model.synthesizer(vectors, components))
    plain = SoundOfPixels(with_values(preset("tiny"), ["model.components=4"])).eval()
    assert set(model.state_dict()) - set(plain.state_dict()) == {
        f"synthesizer.{layer}.{kind}" for layer in ("query", "key", "value", "found") for kind in ("weight", "bias")
    }
