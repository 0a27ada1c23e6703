"""What constrained decoding of captions gains over free greedy decoding, on BLIP-base with random weights."""
from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import Tensor

from clamp_mmpose.models.layers.caption_decoding import CaptionOutput, decode_captions

from .subject import Setting
from .timing import Ratio, compare, interleave

CONFIG = 'blip/blip-base_1xb4-25e_mpii-384x384.py'
# Of BERT's vocabulary: the pieces of MPII's names, and the numbers to 383 that have no piece of their own.
_NAME_PIECES = ('rank', '##l', 'r', '##k', '##nee', '##hip', 'l', 'lan', 'pe', '##lvis', 'thor', '##ax', 'upper', '_',
                'neck', 'head', '##wr', '##i', 're', '##lb', 'rs', '##ho', '##sho', 'le')
_SPLIT_NUMBERS = {342, *range(346, 350), 353, 358, 359, *range(361, 365), *range(366, 370), *range(371, 375),
                  *range(376, 380), 382, 383}
_SIZE = 30524  # of BLIP's vocabulary
_CERTAIN = 1e4  # added to the score of a token that is to be written


class CaptionRow(NamedTuple):
    """Seconds are medians; ``tokens`` and the calls of the decoder are those of a whole batch."""

    batch_size: int
    setting: str
    image: float
    constrained: float
    greedy: float
    ratio: Ratio
    whole_ratio: Ratio  # with the image tower, which both need
    tokens: int
    constrained_calls: int
    greedy_calls: int


class CaptionSubject:
    """The model of a config with random weights, which writes captions that are given to it.

    Left alone, random weights would write without an end, and each way of decoding something else. So the scores of the
    caption's tokens are raised until they win, which costs both the same. The caption of each image is another random
    pose, its tokens are those of BLIP's own vocabulary, and the rest of that is filled with words that do not occur.
    """

    def __init__(self, config: str, device: str, **changes: object) -> None:
        init_default_scope('mmpose')
        torch.manual_seed(0)
        settings = Config.fromfile(config).model
        settings.update(pretrained=None, blip={}, vocabulary=bert_words())
        settings.update(changes)
        self.model = MODELS.build(settings).to(device).eval()
        self.device = torch.device(device)

    def calls(self, batch_size: int, setting: Setting) -> dict[str, Callable[[], object]]:
        """What is timed: the image tower, and decoding what it gives; the latter return a CaptionOutput."""
        model, codec = self.model, self.model.codec
        rng = np.random.default_rng(0)
        poses = rng.uniform(0, codec.input_size, (batch_size, codec.num_keypoints, 2))
        encode = model.architecture.tokenizer.encode
        rows = [encode(codec.write(pose), add_special_tokens=False) for pose in poses]
        width, height = codec.input_size
        images = torch.randn(batch_size, 3, height, width, device=self.device)

        def run(function: Callable, *args: object, **options: object):
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=setting.bf16):
                return function(*args, **options)

        embeds = run(model.extract_feat, images).float()

        def decode(mode: str) -> CaptionOutput:
            with dictated(model.blip.text_decoder, rows):
                return run(decode_captions, model.blip.text_decoder, embeds, grammar=model.grammar, mode=mode)

        return dict(image=lambda: run(model.extract_feat, images), constrained=lambda: decode('constrained'),
                    greedy=lambda: decode('greedy'))


def time_captions(subject: CaptionSubject, *, repeats: int, batch_sizes: Sequence[int],
                  settings: Sequence[Setting]) -> Iterator[CaptionRow]:
    """Raises RuntimeError if the two ways do not write the same."""
    device = subject.device.type
    for setting in settings:
        for batch_size in batch_sizes:
            calls = subject.calls(batch_size, setting)
            constrained, greedy = calls['constrained'](), calls['greedy']()  # this is the warm-up too
            written = [[row.tolist() for row in output.token_ids] for output in (constrained, greedy)]
            if written[0] != written[1]:
                raise RuntimeError('constrained and greedy decoding write different captions')
            seconds = interleave(calls, repeats, warm_up=0 if device == 'cpu' else 1,
                                 synchronize=torch.cuda.synchronize if device == 'cuda' else None)
            image, ours, free = (seconds[key] for key in ('image', 'constrained', 'greedy'))
            whole = [[tower + own for tower, own in zip(image, times)] for times in (ours, free)]
            yield CaptionRow(batch_size, str(setting), *map(statistics.median, (image, ours, free)),
                             compare(ours, free), compare(*whole), sum(len(row) + 1 for row in written[0]),
                             constrained.calls, greedy.calls)


@contextmanager
def dictated(text_decoder: torch.nn.Module, rows: Sequence[Sequence[int]]) -> Iterator[None]:
    """Lets a BlipTextLMHeadModel write the tokens ``rows``, whatever it is fed, and then its end token."""
    end = text_decoder.config.sep_token_id
    table = torch.full((len(rows), text_decoder.config.max_position_embeddings), end)
    for row, tokens in zip(table, rows):
        row[:len(tokens)] = torch.tensor(tokens)

    def raise_scores(module: torch.nn.Module, args: tuple, kwargs: dict, output) -> None:
        positions: Tensor = kwargs['position_ids']
        wanted = table.to(positions.device).gather(1, positions)
        output.logits.scatter_add_(2, wanted[..., None], output.logits.new_full((*wanted.shape, 1), _CERTAIN))

    handle = text_decoder.register_forward_hook(raise_scores, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def bert_words() -> list[str]:
    """As many words as BLIP has, which split MPII's captions in 384x384 pixels as its own do."""
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *':,.()', *_NAME_PIECES,
             *(str(number) for number in range(1000) if number not in _SPLIT_NUMBERS),
             *(f'##{number}' for number in range(100))]
    words = list(dict.fromkeys(words))
    return [*words, *(f'unused{index}' for index in range(_SIZE - 2 - len(words))), '[DEC]', '[ENC]']
