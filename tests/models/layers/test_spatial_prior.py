import pytest
import torch
from mmpose.registry import MODELS

from clamp_mmpose.testing import tiny_blip_model


def _model(**arguments):
    torch.manual_seed(0)
    model = MODELS.build(tiny_blip_model(init_cfg=dict(type='SpatialPrior', **arguments)))
    model.init_weights()
    return model


def _likeness(rows):
    rows = rows / rows.norm(dim=1, keepdim=True)
    return rows @ rows.T


def test_near_patches_are_alike():
    model = _model(positions=2.0)
    table = model.blip.vision_model.embeddings.position_embedding[0, 1:].detach()
    assert table.abs().max() == pytest.approx(2, rel=1e-3)
    likeness = _likeness(table).view(4, 4, 4, 4)  # of two patches, row and column each
    for row in range(4):
        for column in range(3):
            assert likeness[row, column, row, column + 1] > likeness[row, column].flatten().median()
    # A patch is as far from the one below as from the one beside.
    torch.testing.assert_close(likeness[0, 0, 0, 1], likeness[0, 0, 1, 0])


def test_near_numbers_are_alike_and_words_stay_as_they_are():
    torch.manual_seed(0)
    plain = MODELS.build(tiny_blip_model())
    before = plain.blip.text_decoder.get_input_embeddings().weight.detach().clone()
    model = _model(smoothness=0.1)
    words = model.blip.text_decoder.get_input_embeddings().weight.detach()
    ids = [model.architecture.tokenizer.convert_tokens_to_ids(str(number)) for number in range(64)]
    likeness = _likeness(words[ids])
    assert likeness.diagonal(1).min() > 0.8
    assert likeness.diagonal(32).abs().mean() < 0.3
    assert float(words[ids].std()) == pytest.approx(float(before.std()), rel=0.35)
    others = [index for index in range(len(words)) if index not in ids]
    torch.testing.assert_close(words[others], before[others], rtol=0, atol=0)
    decoder = model.blip.text_decoder
    assert decoder.get_output_embeddings().weight is decoder.get_input_embeddings().weight


def test_the_rest_of_the_model_is_not_touched_again():
    """MMEngine would go on to the init_weights of transformers."""
    torch.manual_seed(0)
    plain = MODELS.build(tiny_blip_model())
    key = 'blip.text_decoder.bert.encoder.layer.0.attention.self.query.weight'
    torch.testing.assert_close(_model().state_dict()[key], plain.state_dict()[key], rtol=0, atol=0)


@pytest.mark.parametrize('arguments', [dict(positions=-1), dict(smoothness=0), dict(numbers=0)])
def test_arguments_out_of_range_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        _model(**arguments)
