"""Parameters to the unit and operations of the paper's Table 7, on models without memory (torch's meta device)."""
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from clamp_mmpose.tools.reproduce.size_and_cost import build_without_memory, count_operations, size_and_cost
from clamp_mmpose.tools.reproduce.size_and_cost import count_parameters as count

CONFIGS = Path(__file__).parents[2] / 'configs/clamp'
RN50 = 'clamp_rn50_4xb32-210e_ap10k-256x256'
VIT_B = 'clamp_vit-b16_4xb32-210e_ap10k-256x256'
VIT_L = 'clamp_vit-l14_4xb32-210e_ap10k-224x224'


@cache
def _config(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def build(name):
    return build_without_memory(_config(name).model)


shared = cache(build)  # for tests that do not change the model

PARAMETERS = {
    'backbone': (38_347_616, 86_238_720, 303_966_208),
    'text encoder': (63_657_472, 63_395_328, 123_601_152),
    'token embedding': (25_296_896, 25_296_896, 37_945_344),
    'prompt encoder': (12_598_272, 3_153_408, 7_089_408),
    'context decoder': (3_948_800, 3_553_024, 3_750_912),
    'contexts': (4_096, 4_096, 6_144),
    'gamma': (1_024, 512, 768),
    'keypoint head': (10_561_297, 4_269_329, 5_317_905),
    'score head': (2_172_689, 9_622, 9_622),
    'logit scale': (1, 1, 1),
    'without text encoder and score head': (65_461_106, 97_219_090, 320_131_346),
}


@pytest.mark.parametrize('column, name', list(enumerate([RN50, VIT_B, VIT_L])))
def test_parameters_are_the_released_models(column, name):
    model = shared(name)
    prompts, head = model.neck.prompts, model.head
    counts = {
        'backbone': count(model.backbone),
        'text encoder': count(prompts.text_encoder),
        'token embedding': count(prompts.text_encoder.tower.token_embedding),
        'prompt encoder': count(model.neck.prompt_encoder),
        'context decoder': count(model.neck.context_decoder),
        'contexts': prompts.contexts.numel(),
        'gamma': model.neck.gamma.numel(),
        'keypoint head': count(head.deconv_layers) + count(head.final_layer),
        'score head': count(head.score_head),
        'logit scale': head.feature_loss.logit_scale.numel(),
    }
    own = count(model) - counts['text encoder'] - counts['score head']
    assert sum(counts.values()) - counts['token embedding'] == count(model)
    counts['without text encoder and score head'] = own
    assert counts == {part: values[column] for part, values in PARAMETERS.items()}


@pytest.mark.parametrize('name, backbone, total', [
    ('simplebaseline_clip-rn50_4xb32-210e_ap10k-256x256', 38_347_616 - 14_820_352, 34_018_929),
    ('simplebaseline_clip-vit-b16_4xb32-210e_ap10k-256x256', 86_238_720 - 394_752, 90_043_665),
])
def test_simple_baseline_is_the_backbone_without_embedding_and_a_head(name, backbone, total):
    model = shared(name)
    assert count(model.backbone) == backbone
    assert count(model) == total


def giga_operations(model, name):
    return count_operations(model, _config(name).codec.input_size) / 1e9


@pytest.mark.parametrize('name, prompt_encoder_online, all_text_offline', [(RN50, 9.208, 9.065), (VIT_B, 16.844, None)])
def test_operations_are_those_of_table_7(name, prompt_encoder_online, all_text_offline):
    model = build(name)
    model.neck.fuse_text()
    # The first image computes what the prompt encoder makes of the text; it is kept for the next ones.
    assert giga_operations(model, name) == pytest.approx(prompt_encoder_online, abs=5e-4)
    if all_text_offline:
        assert giga_operations(model, name) == pytest.approx(all_text_offline, abs=5e-4)


@pytest.mark.parametrize('name, expected', [
    ('simplebaseline_clip-rn50_4xb32-210e_ap10k-256x256', 8.962),
    ('simplebaseline_clip-vit-b16_4xb32-210e_ap10k-256x256', 16.604),
])
def test_operations_of_simple_baseline_are_those_of_table_7(name, expected):
    assert giga_operations(shared(name), name) == pytest.approx(expected, abs=5e-4)


def test_the_text_tower_costs_a_quarter_of_the_padded_one():
    """62 packed tokens in place of 17 x 13, through 12 layers of width 512 whose MLP the counter sees."""
    model = build(RN50)
    with_tower = giga_operations(model, RN50)
    model.neck.fuse_text()
    assert with_tower - giga_operations(model, RN50) == pytest.approx(62 * 12 * 2 * 512 * 2048 / 1e9, rel=1e-3)


def _measured():
    """Name -> (parameters, operations) of the metafile, of the configs that have them."""
    models = yaml.safe_load((CONFIGS / 'metafile.yml').read_text())['Models']
    return {model['Name']: (model['Metadata']['Parameters'], model['Metadata']['FLOPs']) for model in models
            if 'FLOPs' in model['Metadata']}


def _recipe(name):
    """The config that has the same model, on all of the data."""
    return re.sub(r'4xb16', '4xb32', re.sub(r'-(20shot|\d+pct|[a-z]+2[a-z]+)-', '-', name))


@pytest.mark.parametrize('name', [name for name in _measured() if name == _recipe(name)])
def test_the_metafile_has_parameters_and_operations_as_counted(name):
    assert size_and_cost(_config(name)) == _measured()[name]


def test_a_config_of_a_split_has_the_size_of_its_recipe():
    splits = [name for name in _measured() if name != _recipe(name)]
    assert len(splits) == 5 + 12 + 10
    for name in splits:
        assert _measured()[name] == _measured()[_recipe(name)], name
