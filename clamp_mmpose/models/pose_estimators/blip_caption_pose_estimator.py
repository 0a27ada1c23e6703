from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor, nn

from ...checkpoint.blip_architecture import (
    CONFIG_KEY,
    TOKENIZER_KEY,
    BLIPArchitecture,
    blip_from_dict,
    read_blip_architecture,
)
from ...checkpoint.blip_weights import load_blip_weights
from ..layers.caption_targets import caption_targets
from ..layers.caption_tokenizer import caption_words, make_tokenizer
from ..layers.transformers_extra import import_transformers


@MODELS.register_module()
class BLIPCaptionPoseEstimator(TopdownPoseEstimator):
    """Writes the pose of an image as a caption: Hugging Face's ``BlipForConditionalGeneration``, fine-tuned.

    "Pose estimation with a fine-tuned BLIP": an image encoder, a text decoder that attends to it, and the
    language-model loss on captions that the codec writes. The decoder starts from BLIP's own start token [DEC], where
    the paper's processor leaves BERT's [CLS], and padding has no loss.

    The architecture and the tokenizer come from one of three places; weights of ``pretrained`` are read when training
    begins. A checkpoint carries architecture and tokenizer too: a model that finds neither folder nor cache builds
    itself from the checkpoint that it loads.

    Args:
        codec: config of :class:`CaptionPose`.
        pretrained: a Hugging Face folder or name with a captioning BLIP, or a checkpoint of this class.
        blip: instead, fields of ``BlipConfig`` for random weights, ``vision_config`` and ``text_config`` among them.
        vocabulary: with ``blip``, the tokenizer's pieces: a list, the path of a vocab.txt, or 'caption' for just what
            the codec's captions need.
        digit_weight: what a token of a number weighs in the loss beside one of a name or punctuation.
        label_smoothing: of the loss. BLIP was pre-trained with 0.1; captions of poses are exact.
        frozen: names of modules or parameters of ``blip`` that are not trained, such as 'vision_model' or
            'text_decoder.bert.embeddings' (whose table of words is the output layer's too).
        gradient_checkpointing: computes activations anew in the backward pass, to save memory.
        backbone: nothing; an empty dict in a config lets MMPose's ``init_model`` look for it.
        test_cfg: ``decoding`` 'constrained', 'greedy' or 'beam', ``num_beams``. There is no flip test.
    """

    def __init__(self,
                 codec: dict,
                 pretrained: str | None = None,
                 *,
                 blip: dict | None = None,
                 vocabulary: Sequence[str] | str | None = None,
                 digit_weight: float = 1.0,
                 label_smoothing: float = 0.0,
                 frozen: Sequence[str] = (),
                 gradient_checkpointing: bool = False,
                 backbone: dict | None = None,
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None,
                 metainfo: dict | None = None) -> None:
        # MMPose's estimators must have both; here they are one, `blip`.
        super().__init__(dict(type=nn.Identity), head=dict(type=nn.Identity), train_cfg=train_cfg, test_cfg=test_cfg,
                         data_preprocessor=data_preprocessor, init_cfg=init_cfg, metainfo=metainfo)
        del self.backbone, self.head
        self.codec = KEYPOINT_CODECS.build(codec)
        self.pretrained = pretrained
        self.digit_weight, self.label_smoothing = digit_weight, label_smoothing
        self.frozen, self.gradient_checkpointing = tuple(frozen), gradient_checkpointing
        self.architecture, self.unbuilt = None, ''
        self.blip = _Unbuilt()
        try:
            architecture = self._find_architecture(blip, vocabulary)
        except FileNotFoundError as error:
            self.unbuilt = str(error)
        else:
            self._build(architecture)
        self._register_state_dict_hook(_save_architecture)
        self._register_load_state_dict_pre_hook(self._load_architecture)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """The image tower's tokens, (B, T, C)."""
        width, height = self.codec.input_size
        if inputs.shape[-2:] != (height, width):
            raise ValueError(f'inputs are {inputs.shape[-1]}x{inputs.shape[-2]} pixels, and the captions of the codec '
                             f'are about {width}x{height}; the pipeline and the codec need the same input_size')
        self._require_built()
        native = self.blip.config.vision_config.image_size
        other = {} if (height, width) == (native, native) else dict(interpolate_pos_encoding=True)
        return self.blip.vision_model(pixel_values=inputs, **other).last_hidden_state

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """The language-model loss, and the share of tokens and of number tokens that are right given those before."""
        image = self.extract_feat(inputs)
        text = self.blip.config.text_config
        targets = caption_targets([_caption(sample) for sample in data_samples], self.architecture.tokenizer,
                                  start=text.bos_token_id, end=text.sep_token_id, padding=text.pad_token_id,
                                  most=text.max_position_embeddings, device=inputs.device)
        logits = self.blip.text_decoder(input_ids=targets.tokens, attention_mask=targets.mask,
                                        encoder_hidden_states=image, use_cache=False).logits
        return targets.losses(logits, digit_weight=self.digit_weight, label_smoothing=self.label_smoothing)

    def predict(self, inputs: Tensor, data_samples: list) -> list:
        """Decodes captions and reads the poses out of them."""
        image = self.extract_feat(inputs)
        captions = self._greedy(image)
        decoded = self.codec.decode(captions)
        predictions = []
        for index, sample in enumerate(data_samples):
            scores = decoded.valid[index].astype(np.float32)
            predictions.append(InstanceData(keypoints=decoded.keypoints[index][None], keypoint_scores=scores[None],
                                            captions=[captions[index]]))
            sample.pred_caption = dict(caption=captions[index], ok=decoded.report[index].ok)
        return self.add_pred_to_datasample(predictions, None, data_samples)

    @torch.no_grad()
    def _greedy(self, image):
        text = self.blip.config.text_config
        ids = torch.full((len(image), 1), text.bos_token_id, device=image.device)
        while ids.shape[1] < min(200, text.max_position_embeddings) and not (ids == text.sep_token_id).any(1).all():
            logits = self.blip.text_decoder(input_ids=ids, encoder_hidden_states=image, use_cache=False).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        return [self.architecture.tokenizer.decode(row[1:] if text.sep_token_id not in row else
                                                   row[1:row.index(text.sep_token_id)]) for row in ids.tolist()]

    def init_weights(self) -> None:
        """Reads the weights of ``pretrained``; MMEngine calls this before training only."""
        self._require_built()
        if self.pretrained is not None:
            load_blip_weights(self.blip, self.pretrained)
        if self.init_cfg is not None:
            super().init_weights()

    def train(self, mode: bool = True) -> BLIPCaptionPoseEstimator:
        super().train(mode)
        for name, module in self.blip.named_modules():
            if _is_under(name, self.frozen):
                module.eval()
        return self

    def _find_architecture(self, blip: dict | None, vocabulary: Sequence[str] | str | None) -> BLIPArchitecture:
        if self.pretrained is not None:
            if blip is not None or vocabulary is not None:
                raise ValueError(f"pretrained='{self.pretrained}' has its own architecture and vocabulary; leave out "
                                 'blip and vocabulary, or pretrained')
            return read_blip_architecture(self.pretrained)
        if blip is None:
            raise FileNotFoundError('neither pretrained nor blip is given')
        if vocabulary is None:
            raise ValueError("blip needs a vocabulary: a list of pieces, the path of a vocab.txt, or 'caption'")
        if isinstance(vocabulary, str):
            vocabulary = self._caption_words() if vocabulary == 'caption' else _read_words(vocabulary)
        return blip_from_dict(blip, make_tokenizer(vocabulary), image_size=max(self.codec.input_size))

    def _caption_words(self) -> list[str]:
        template = self.codec.template()
        texts = [piece.text for piece in template if hasattr(piece, 'text')]
        numbers = dict.fromkeys(choice for piece in template for choice in getattr(piece, 'choices', ()))
        return caption_words(texts, numbers)

    def _build(self, architecture: BLIPArchitecture) -> None:
        transformers = import_transformers()
        architecture.config.text_config.label_smoothing = self.label_smoothing
        place = self.blip.place
        model = transformers.BlipForConditionalGeneration(architecture.config)
        names = [name for name, _ in model.named_parameters()]
        for prefix in self.frozen:
            if not any(_is_under(name, [prefix]) for name in names):
                raise ValueError(f'frozen={prefix!r} is no module or parameter of BLIP; there are '
                                 f'{sorted({name.split(".")[0] for name in names})} and what is in them')
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not _is_under(name, self.frozen))
        if self.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
        self.architecture = architecture
        self.blip = model.to(place)
        self.train(self.training)

    def _require_built(self) -> None:
        if self.architecture is None:
            raise FileNotFoundError(f'BLIP has no architecture: {self.unbuilt}. A checkpoint brings its own when it is '
                                    'loaded for a test; training needs `pretrained` or `blip`')

    def _load_architecture(self, state_dict: dict, prefix: str, *args) -> None:
        pair = [state_dict.pop(f'{prefix}{key}', None) for key in (CONFIG_KEY, TOKENIZER_KEY)]
        if None in [type(tensor) if tensor is None else 0 for tensor in pair]:
            self._require_built()
            return
        found = BLIPArchitecture.from_tensors(*pair)
        if self.architecture is None:
            self._build(found)
        else:
            differences = self.architecture.differences(found)
            if differences:
                raise ValueError(f'the checkpoint holds another BLIP than the config asks for: {differences}')


class _Unbuilt(nn.Module):
    """Stands where BLIP goes until its architecture is known. Its one parameter lets optimizers and wrappers be made,
    and tells where BLIP goes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))


def _save_architecture(module: BLIPCaptionPoseEstimator, state_dict: dict, prefix: str, metadata: dict) -> None:
    if module.architecture is not None:
        state_dict.update({f'{prefix}{key}': tensor for key, tensor in module.architecture.to_tensors().items()})


def _is_under(name: str, prefixes: Sequence[str]) -> bool:
    return any(f'{name}.'.startswith(f'{prefix}.') for prefix in prefixes)


def _read_words(path: str) -> list[str]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"vocabulary='{path}' is no file; give the path of a vocab.txt, a list, or 'caption'")
    return file.read_text(encoding='utf-8').splitlines()


def _caption(sample) -> str:
    labels = getattr(sample, 'gt_instance_labels', {})
    if 'caption' not in labels or len(labels.caption) != 1:
        raise ValueError("a data sample has no caption of one person or animal; the pipeline needs "
                         "dict(type='GenerateTarget', encoder=codec) with the codec CaptionPose, on a top-down dataset")
    return labels.caption[0]
