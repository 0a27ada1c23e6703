"""Weights and architecture from Hugging Face folders, and what is said of those that do not fit."""
import json
import subprocess
import sys
import textwrap

import pytest
import torch
import transformers
from mmpose.registry import MODELS

from clamp_mmpose.checkpoint import CheckpointError
from clamp_mmpose.testing import pack_batch, tiny_blip_model


def _build(folder, **arguments):
    return MODELS.build(tiny_blip_model(pretrained=str(folder), **arguments))


def _edit_config(folder, change):
    path = folder / 'config.json'
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_a_folder_gives_the_weights_of_hugging_face_itself(folder):
    model = _build(folder)
    model.init_weights()
    expected = transformers.BlipForConditionalGeneration.from_pretrained(folder)
    torch.testing.assert_close(dict(model.blip.state_dict()), dict(expected.state_dict()), rtol=0, atol=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = 'Head:40,17 rhand:3,1 '
    assert model.architecture.tokenizer(text, add_special_tokens=False)['input_ids'] == tokenizer(
        text, add_special_tokens=False)['input_ids']


def test_weights_are_read_when_training_begins(folder):
    model = _build(folder)
    before = {name: tensor.clone() for name, tensor in model.blip.state_dict().items()}
    parameters = dict(model.named_parameters())
    model.init_weights()
    assert any((before[name] != tensor).any() for name, tensor in model.blip.state_dict().items())
    # An optimizer that was made before still has the parameters.
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())


def test_the_older_format_of_weights_loads_too(folder):
    """pytorch_model.bin, with the position_ids that older files carry."""
    model = _build(folder)
    state_dict = transformers.BlipForConditionalGeneration.from_pretrained(folder).state_dict()
    (folder / 'model.safetensors').unlink()
    state_dict['text_decoder.bert.embeddings.position_ids'] = torch.arange(512)[None]
    torch.save(state_dict, folder / 'pytorch_model.bin')
    model.init_weights()
    torch.testing.assert_close(model.blip.vision_model.post_layernorm.weight,
                               state_dict['vision_model.post_layernorm.weight'])


def test_a_vocab_file_without_a_start_token_is_enough(folder):
    """As the published folder: BERT's vocab.txt, which lacks [DEC], and its number in the config."""
    model = _build(folder)
    vocabulary = model.architecture.tokenizer.get_vocab()
    words = sorted(set(vocabulary) - {'[DEC]'}, key=vocabulary.get)
    for path in folder.glob('*token*'):
        path.unlink()
    (folder / 'vocab.txt').write_text('\n'.join(words))
    (folder / 'tokenizer_config.json').write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    other = _build(folder)
    assert '[DEC]' not in other.architecture.tokenizer.get_vocab()
    other.init_weights()
    model.init_weights()
    data = model.data_preprocessor(pack_batch(tiny_blip_model()['codec'], 5), True)
    torch.testing.assert_close(other(**data, mode='loss'), model(**data, mode='loss'))


def test_a_missing_folder_is_an_error_when_training_begins(tmp_path):
    model = _build(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match=r"BLIP is not built: pretrained='.*gone' does not exist"):
        model.init_weights()
    data = model.data_preprocessor(pack_batch(tiny_blip_model()['codec'], 5), True)
    with pytest.raises(FileNotFoundError, match='training needs `pretrained` or `blip`'):
        model(**data, mode='loss')


def test_an_unknown_name_is_an_error_when_training_begins(monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    model = _build('nobody/no-such-model')
    with pytest.raises(FileNotFoundError, match="pretrained='nobody/no-such-model' is no folder, nor a name") as error:
        model.init_weights()
    assert '..' not in str(error.value)


def test_a_folder_without_config_is_named(tmp_path):
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(ValueError, match=r'is a folder without config\.json.*notes\.txt'):
        _build(tmp_path)


def test_a_folder_of_clip_is_named(tmp_path):
    transformers.CLIPConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of type 'clip', not 'blip'"):
        _build(tmp_path)


def test_a_config_that_is_no_json_is_named(folder):
    (folder / 'config.json').write_text('{"model_type": "bl')
    with pytest.raises(CheckpointError, match='cannot be read as a BLIP folder'):
        _build(folder)


def test_a_folder_without_a_tokenizer_is_named(folder):
    for path in folder.glob('*token*'):
        path.unlink()
    with pytest.raises(ValueError, match=r'is a folder without a tokenizer, tokenizer\.json or vocab\.txt'):
        _build(folder)


def test_a_tokenizer_of_another_model_is_named(folder):
    _edit_config(folder, lambda config: config['text_config'].update(vocab_size=30))
    with pytest.raises(ValueError, match='does not fit together: the text decoder knows 30 tokens'):
        _build(folder)


def test_missing_weights_are_named(folder):
    (folder / 'model.safetensors').unlink()
    model = _build(folder)
    with pytest.raises(CheckpointError, match=r"the weights of pretrained='.*blip folder' cannot be read"):
        model.init_weights()


def test_truncated_weights_are_named(folder):
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:-5000])
    model = _build(folder)
    with pytest.raises(CheckpointError, match=r"the weights of pretrained='.*blip folder' cannot be read"):
        model.init_weights()


def test_weights_of_another_blip_are_named(folder):
    """A BLIP that answers questions or finds texts has other parts under the same model type."""
    config = transformers.BlipConfig.from_pretrained(folder)
    config.text_config.is_decoder = False
    transformers.BlipForImageTextRetrieval(config).save_pretrained(folder)
    model = _build(folder)
    with pytest.raises(CheckpointError, match='lacks tensors of a captioning BLIP: text_decoder'):
        model.init_weights()


def test_weights_of_other_sizes_are_named(folder):
    _edit_config(folder, lambda config: config['vision_config'].update(intermediate_size=64))
    model = _build(folder)
    with pytest.raises(CheckpointError, match=r'cannot be read|does not fit'):
        model.init_weights()


HIDDEN = """
    import sys
    sys.modules['transformers'] = None
    import clamp_mmpose
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS
    from clamp_mmpose.testing import tiny_blip_model
    init_default_scope('mmpose')
    try:
        MODELS.build(tiny_blip_model())
    except ImportError as error:
        print('said:', error)
"""


def test_without_transformers_the_pip_line_is_named():
    process = subprocess.run([sys.executable, '-W', 'ignore', '-c', textwrap.dedent(HIDDEN)], capture_output=True,
                             text=True, check=False)
    assert "pip install 'clamp-mmpose[blip]'" in process.stdout.partition('said:')[2], process.stderr[-2000:]


def test_a_transformers_that_goes_without_torch_is_named(monkeypatch):
    monkeypatch.setattr(transformers, 'is_torch_available', lambda: False)
    with pytest.raises(ImportError, match=r"goes without torch .*pip install 'transformers>=4\.40,<5'"):
        MODELS.build(tiny_blip_model())
