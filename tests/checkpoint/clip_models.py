"""Small CLIP models and the files they are published in, made on the spot."""
import json
import warnings

import torch
from torch import nn

from clamp_mmpose.testing import TINY_RESNET, TINY_TEXT, TINY_VIT, randomize

TOWERS = {'vit': TINY_VIT, 'resnet': TINY_RESNET}
NAMES = ['left eye', 'tail root', 'nose']


def build_clip(tower, *, custom_text=False, quick_gelu=True):
    """open_clip's own model, with weights that tell every tensor apart."""
    from open_clip.model import CLIP, CustomTextCLIP
    vision, text = dict(TOWERS[tower]), dict(TINY_TEXT)
    for config in (vision, text):
        del config['embed_dim'], config['quick_gelu']
    kind = CustomTextCLIP if custom_text else CLIP
    return randomize(kind(32, vision, text, quick_gelu=quick_gelu)).eval()


def rounded_to_half(model):
    """The model with the precision that OpenAI's archives have."""
    from open_clip.model import convert_weights_to_lp
    convert_weights_to_lp(model)
    return model.float()


class OpenAIModel(nn.Module):
    """What OpenAI's archives hold: the model in half precision and its three sizes, as buffers."""

    def __init__(self, model):
        super().__init__()
        for name, child in model.named_children():
            setattr(self, name, child)
        for name, parameter in model.named_parameters(recurse=False):
            setattr(self, name, parameter)
        for name, value in (('input_resolution', 64), ('context_length', 77), ('vocab_size', 49408)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, tokens):
        return self.token_embedding(tokens) @ self.text_projection.float() * self.logit_scale


def save_openai_archive(model, path):
    from open_clip.model import convert_weights_to_lp
    convert_weights_to_lp(model)
    model = OpenAIModel(model)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        tokens = torch.zeros(1, 77, dtype=torch.long)
        torch.jit.save(torch.jit.trace(model, tokens, check_trace=False), path)
    return path


def save_hugging_face(folder, *, hidden_act='quick_gelu', **kwargs):
    """A folder of transformers, and its model."""
    from transformers import CLIPConfig, CLIPModel
    sizes = dict(hidden_size=32, intermediate_size=128, hidden_act=hidden_act)
    config = CLIPConfig(
        text_config=dict(sizes, num_hidden_layers=2, num_attention_heads=2),
        vision_config=dict(sizes, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=16),
        projection_dim=32)
    model = randomize(CLIPModel(config)).eval()
    model.save_pretrained(folder, **kwargs)
    assert json.loads((folder / 'config.json').read_text())['model_type'] == 'clip'
    return model


def encode_text(model):
    """open_clip's embeddings of ``NAMES``."""
    from open_clip import get_tokenizer
    with torch.no_grad():
        return model.encode_text(get_tokenizer('ViT-B-32')(NAMES))
