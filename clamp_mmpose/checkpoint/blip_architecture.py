"""What a BLIP is before it has weights: its sizes and its tokenizer, from a dict, from Hugging Face or a checkpoint."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..models.layers.caption_tokenizer import START, tokenizer_from_text, tokenizer_to_text
from ..models.layers.transformers_extra import import_transformers
from .safe_loading import CheckpointError, first_line, safe_load

# Of a state dict: the architecture as JSON in bytes, so that files stay readable with `weights_only`.
CONFIG_KEY, TOKENIZER_KEY = 'architecture.config', 'architecture.tokenizer'
CHECKPOINT_SUFFIXES = ('.pth', '.pt', '.ckpt')
TOKENIZER_FILES = ('tokenizer.json', 'vocab.txt')
# Two models with these alike have weights for one another.
_COMPARED = ('hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'hidden_act', 'image_size',
             'patch_size', 'vocab_size', 'max_position_embeddings', 'bos_token_id', 'sep_token_id', 'pad_token_id')


class BLIPArchitecture(NamedTuple):
    """``config``: a BlipConfig of transformers; ``tokenizer``: a fast tokenizer of transformers."""

    config: Any
    tokenizer: Any

    def differences(self, other: BLIPArchitecture) -> list[str]:
        """In words, what keeps the weights of ``other`` from fitting."""
        found = []
        for part in ('vision_config', 'text_config'):
            ours, theirs = (getattr(architecture.config, part) for architecture in (self, other))
            for name in _COMPARED:
                pair = getattr(ours, name, None), getattr(theirs, name, None)
                if pair[0] != pair[1]:
                    found.append(f'{part}.{name} {pair[0]}, not {pair[1]}')
        if self.tokenizer.get_vocab() != other.tokenizer.get_vocab():
            found.append('another vocabulary')
        return found

    def build(self) -> nn.Module:
        """A BlipForConditionalGeneration with random weights."""
        model = import_transformers().BlipForConditionalGeneration(self.config)
        decoder = model.text_decoder
        if self.config.text_config.tie_word_embeddings:  # version 4.40 of transformers leaves them apart
            decoder.cls.predictions.decoder.weight = decoder.bert.embeddings.word_embeddings.weight
        return model

    def to_tensors(self) -> dict[str, Tensor]:
        texts = {CONFIG_KEY: json.dumps(self.config.to_dict()), TOKENIZER_KEY: tokenizer_to_text(self.tokenizer)}
        return {key: torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) for key, text in texts.items()}

    @classmethod
    def pop_from(cls, state_dict: dict, prefix: str = '') -> BLIPArchitecture | None:
        """Takes an architecture out of ``state_dict``; None where there is none."""
        tensors = [state_dict.pop(f'{prefix}{key}', None) for key in (CONFIG_KEY, TOKENIZER_KEY)]
        if any(tensor is None for tensor in tensors):
            return None
        try:
            content, text = (tensor.cpu().to(torch.uint8).numpy().tobytes().decode() for tensor in tensors)
            return cls(_config_from_dict(json.loads(content)), tokenizer_from_text(text))
        except ValueError as error:  # of no text, or no JSON
            raise CheckpointError(f"the checkpoint's {CONFIG_KEY} or {TOKENIZER_KEY} is damaged: {first_line(error)}"
                                  ) from error


def blip_from_dict(blip: Mapping, tokenizer, image_size: int) -> BLIPArchitecture:
    """An architecture for random weights: ``blip`` has fields of BlipConfig, whose gaps are filled as in BLIP-base.

    The vocabulary, its special tokens and ``image_size`` need not be given.
    """
    transformers = import_transformers()
    vocabulary = tokenizer.get_vocab()
    # The class's own range for the image tower, 1e-10, gives a constant: its weights are always loaded.
    vision = dict(initializer_range=0.02, image_size=image_size)
    text = dict(num_attention_heads=12, vocab_size=len(vocabulary), bos_token_id=vocabulary[START],
                sep_token_id=tokenizer.sep_token_id, eos_token_id=tokenizer.sep_token_id,
                pad_token_id=tokenizer.pad_token_id)
    fields = {name: value for name, value in blip.items() if name not in ('vision_config', 'text_config')}
    for kind, part, given in ((transformers.BlipVisionConfig, 'vision_config', blip.get('vision_config', {})),
                              (transformers.BlipTextConfig, 'text_config', blip.get('text_config', {})),
                              (transformers.BlipConfig, '', fields)):
        known = kind()
        unknown = sorted(name for name in given if not hasattr(known, name))
        if unknown:
            raise ValueError(f"blip{f'.{part}' if part else ''} has unknown fields {unknown}; {kind.__name__} of "
                             'transformers lists those there are')
    vision.update(blip.get('vision_config', {}))
    text.update(blip.get('text_config', {}))
    if text['vocab_size'] < len(vocabulary):
        raise ValueError(f"blip.text_config.vocab_size={text['vocab_size']} is less than the {len(vocabulary)} entries "
                         'of the vocabulary; leave it out')
    config = transformers.BlipConfig(**fields, vision_config=vision, text_config=text)
    return BLIPArchitecture(config, tokenizer)


def read_blip_architecture(source: str) -> BLIPArchitecture:
    """Reads the architecture of a Hugging Face folder or name, or of a checkpoint of ``BLIPCaptionPoseEstimator``.

    Raises FileNotFoundError where there is no such folder, file or name (in the cache or on the net), ValueError for
    another kind of model, ``CheckpointError`` for a damaged one.
    """
    transformers = import_transformers()
    path = Path(source).expanduser()
    if path.is_file():
        architecture = BLIPArchitecture.pop_from(read_state_dict(path))
        if architecture is None:
            raise ValueError(f"pretrained='{source}' is no checkpoint of BLIPCaptionPoseEstimator; give that, or a "
                             'Hugging Face folder or name')
        return architecture
    if path.is_dir():
        if not (path / 'config.json').is_file():
            raise ValueError(f"pretrained='{source}' is a folder without config.json; a Hugging Face folder with a "
                             f'BLIP has one (there: {", ".join(sorted(entry.name for entry in path.iterdir())[:8])})')
    elif path.suffix in CHECKPOINT_SUFFIXES or path.is_absolute() or source.startswith('.') or source.count('/') > 1:
        raise FileNotFoundError(f"pretrained='{source}' does not exist")
    content = _from_hub(transformers.PretrainedConfig.get_config_dict, source, path)[0]
    if content.get('model_type') != 'blip':
        raise ValueError(f"pretrained='{source}' holds a model of type {content.get('model_type')!r}, not 'blip'; "
                         "choose a captioning BLIP such as 'Salesforce/blip-image-captioning-base'")
    config = _config_from_dict(content)
    if path.is_dir() and not any((path / name).is_file() for name in TOKENIZER_FILES):
        raise ValueError(f"pretrained='{source}' is a folder without a tokenizer, {' or '.join(TOKENIZER_FILES)}")
    tokenizer = _from_hub(transformers.AutoTokenizer.from_pretrained, source, path)
    if not getattr(tokenizer, 'is_fast', False):
        raise ValueError(f"pretrained='{source}' has a tokenizer of the slow kind, {type(tokenizer).__name__}; save it "
                         'again as a fast one')
    tokenizer = tokenizer_from_text(tokenizer_to_text(tokenizer))
    text = config.text_config
    if len(tokenizer.get_vocab()) > text.vocab_size or not 0 <= (text.bos_token_id or -1) < text.vocab_size:
        raise ValueError(f"pretrained='{source}' does not fit together: the text decoder knows {text.vocab_size} "
                         f'tokens, the tokenizer {len(tokenizer.get_vocab())}, and the start token is '
                         f'{text.bos_token_id}')
    return BLIPArchitecture(config, tokenizer)


def read_state_dict(path: Path) -> dict:
    content = safe_load(path, 'cpu', mmap=True)
    state_dict = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(state_dict, dict):
        raise CheckpointError(f'{path} holds no state dict, but {type(content).__name__}')
    return state_dict


def _from_hub(read, source: str, path: Path) -> Any:
    """``read(source)``, from the folder or else from the cache, before the net is asked."""
    try:
        if path.is_dir():
            return read(str(path), local_files_only=True)
        try:
            return read(source, local_files_only=True)
        except OSError:
            return read(source)
    except Exception as error:  # of many libraries: json, tokenizers, huggingface_hub, httpx
        if path.is_dir():
            raise CheckpointError(f'{path} cannot be read as a BLIP folder: {first_line(error)}') from error
        raise FileNotFoundError(f"pretrained='{source}' is no folder, nor a name that Hugging Face's cache or hub "
                                f"answers to: {first_line(error).rstrip('.')}") from error


def _config_from_dict(content: dict) -> Any:
    return import_transformers().BlipConfig.from_dict(content)
