import pytest
from mmpose.registry import MODELS

from clamp_mmpose.testing import pack_batch, randomize, save_blip_folder, tiny_blip_model


@pytest.fixture
def make():
    """Builds a tiny model with random weights from the arguments of ``tiny_blip_model``."""

    def build(**arguments):
        return randomize(MODELS.build(tiny_blip_model(**arguments)))

    return build


@pytest.fixture
def batch():
    """A batch of two pictures for a model, as its preprocessor gives it."""

    def pack(model, *, training=False, codec=None, **arguments):
        raw = pack_batch(codec or tiny_blip_model()['codec'], 5, **arguments)
        return model.data_preprocessor(raw, training)

    return pack


@pytest.fixture
def folder(tmp_path):
    """A Hugging Face folder with a tiny captioning BLIP."""
    return save_blip_folder(randomize(MODELS.build(tiny_blip_model()), seed=3), tmp_path / 'blip folder')
