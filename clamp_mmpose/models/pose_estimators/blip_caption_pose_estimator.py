from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor, nn

from ...checkpoint.blip_architecture import BLIPArchitecture, blip_from_dict, read_blip_architecture
from ...checkpoint.blip_weights import load_blip_weights
from ..layers.caption_decoding import decode_captions
from ..layers.caption_grammar import CaptionGrammar
from ..layers.caption_targets import caption_targets
from ..layers.caption_tokenizer import make_tokenizer, vocabulary_words
from ..layers.transformers_extra import import_transformers

DECODINGS = ('constrained', 'greedy', 'beam')


@MODELS.register_module()
class BLIPCaptionPoseEstimator(TopdownPoseEstimator):
    """Writes the pose of an image as a caption: Hugging Face's ``BlipForConditionalGeneration``, fine-tuned.

    "Fine-Tuning Vision Transformer-Based Model for Pose-Estimation": an image tower, a text decoder that attends to it,
    and the language-model loss on captions that the codec writes. As BLIP itself, the decoder starts from the token
    [DEC], where the processor that the paper uses leaves BERT's [CLS], and padding has no loss.

    Architecture and tokenizer are known when the model is built; the weights of ``pretrained`` are read when training
    begins. A checkpoint carries architecture and tokenizer too, so that a model whose folder is gone builds itself
    from the checkpoint that it loads. An image tower of another size than the input gets its position table
    interpolated for each batch.

    Args:
        codec: config of :class:`CaptionPose`.
        pretrained: a Hugging Face folder or name with a captioning BLIP, or a checkpoint of this class.
        blip: instead, fields of ``BlipConfig`` for random weights, ``vision_config`` and ``text_config`` among them.
        vocabulary: with ``blip``, the tokenizer's pieces: a list, the path of a vocab.txt, or 'caption' for just what
            the codec's captions need.
        digit_weight: what a token of a number weighs in the loss beside one of a name or punctuation.
        label_smoothing: of the loss, whatever the config of BLIP says. It was pre-trained with 0.1; poses are exact.
        frozen: modules or parameters of BLIP that are not trained, such as 'vision_model' or
            'text_decoder.bert.embeddings' (whose table of words is the output layer's too).
        gradient_checkpointing: computes activations again in the backward pass, to save memory.
        backbone: leave empty. MMPose's ``init_model`` does without no ``backbone=dict()`` in a config.
        test_cfg: ``decoding``, 'constrained', 'greedy' or 'beam' with ``num_beams``. ``tolerance``, in input pixels: a
            keypoint's score is the probability of a number that is at most so far from the one written (the geometric
            mean of its x and y); 2 % of the longer side. ``attention``, (layer, head): of the decoder, to be kept. A
            caption has no flip test.
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
        _check_arguments(backbone, init_cfg, digit_weight, label_smoothing, test_cfg or {})
        # MMPose's estimators have both; here they are one, `blip`.
        super().__init__(dict(type=nn.Identity), head=dict(type=nn.Identity), train_cfg=train_cfg, test_cfg=test_cfg,
                         data_preprocessor=data_preprocessor, init_cfg=init_cfg, metainfo=metainfo)
        self.backbone = self.head = None
        self.codec = KEYPOINT_CODECS.build(codec)
        self.pretrained = pretrained
        self.digit_weight, self.label_smoothing = digit_weight, label_smoothing
        self.frozen, self.gradient_checkpointing = tuple(frozen), gradient_checkpointing
        self.architecture = self.grammar = None
        self.blip, self.unbuilt = _Unbuilt(), ''
        try:
            self._build(self._find_architecture(blip, vocabulary))
        except FileNotFoundError as error:  # a checkpoint may bring it
            self.unbuilt = str(error)
        self._register_state_dict_hook(_save_architecture)
        self._register_load_state_dict_pre_hook(self._load_architecture)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """What the text decoder attends to: (B, T, C), a class token and one for each patch."""
        self._require_built()
        width, height = self.codec.input_size
        if tuple(inputs.shape[-2:]) != (height, width):
            raise ValueError(f'inputs are {inputs.shape[-1]}x{inputs.shape[-2]} pixels and the captions of the codec '
                             f'are about {width}x{height}; the pipeline and the codec need the same input_size')
        native = self.blip.config.vision_config.image_size
        resize = {} if (height, width) == (native, native) else dict(interpolate_pos_encoding=True)
        return self.blip.vision_model(pixel_values=inputs, **resize).last_hidden_state

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """The language-model loss, and how many tokens, and pieces of numbers, are right given those before them."""
        image = self.extract_feat(inputs)
        text = self.blip.config.text_config
        targets = caption_targets([_caption(sample) for sample in data_samples], self.architecture.tokenizer,
                                  start=text.bos_token_id, end=text.sep_token_id, padding=text.pad_token_id,
                                  most=text.max_position_embeddings, device=inputs.device)
        logits = self.blip.text_decoder(input_ids=targets.tokens, attention_mask=targets.mask,
                                        encoder_hidden_states=image, use_cache=False).logits
        return targets.losses(logits, digit_weight=self.digit_weight, label_smoothing=self.label_smoothing)

    def predict(self, inputs: Tensor, data_samples: list) -> list:
        """Writes a caption for each image and reads the pose out of it.

        Beside MMPose's fields, ``pred_instances.captions`` has the caption, and ``pred_caption`` is a dict of
        ``caption``, ``tokens``, ``ok`` (it parses whole), ``report`` (what else is in it), ``calls`` of the decoder,
        for all images of the batch, and ``attention`` on request.
        """
        _check_test_cfg(self.test_cfg)
        image = self.extract_feat(inputs)
        tolerance = self.test_cfg.get('tolerance', 0.02 * max(self.codec.input_size))
        output = decode_captions(
            self.blip.text_decoder, image, grammar=self.grammar, mode=self.test_cfg.get('decoding', 'constrained'),
            num_beams=self.test_cfg.get('num_beams', 3), attention=self.test_cfg.get('attention'),
            tolerance=tolerance if self.codec.has_coordinates else 0.0)
        decoded = self.codec.decode(output.captions)
        scores = _scores(output.near_probabilities, decoded.valid)
        predictions = []
        for index, (caption, sample) in enumerate(zip(output.captions, data_samples)):
            found = InstanceData(keypoints=decoded.keypoints[index][None], keypoint_scores=scores[index][None],
                                 captions=[caption])
            if not self.codec.has_coordinates:
                found.keypoints_visible = decoded.visible[index][None]
            predictions.append(found)
            report = decoded.report[index]
            sample.pred_caption = dict(caption=caption, tokens=output.token_ids[index].tolist(), ok=report.ok,
                                       valid=decoded.valid[index], report=report, calls=output.calls)
            if output.attention is not None:
                sample.pred_caption['attention'] = output.attention[index]
        return self.add_pred_to_datasample(predictions, None, data_samples)

    def init_weights(self) -> None:
        """Reads the weights of ``pretrained``, and those of ``init_cfg`` over them. MMEngine calls it before training.
        """
        self._require_built()
        if self.pretrained is not None:
            load_blip_weights(self.blip, self.pretrained)
        if self.init_cfg is not None:
            super().init_weights()
        self._is_init = True

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
        tokenizer = make_tokenizer(vocabulary_words(vocabulary, self.codec.template()))
        return blip_from_dict(blip, tokenizer, image_size=max(self.codec.input_size))

    def _build(self, architecture: BLIPArchitecture) -> None:
        """Makes BLIP with random weights where the stand-in is."""
        config, stand_in = architecture.config, self.blip.place
        self.grammar = CaptionGrammar(self.codec, architecture.tokenizer).fitted(
            config.text_config.max_position_embeddings - 1)  # one is the start token's
        config.text_config.label_smoothing = self.label_smoothing
        blip = import_transformers().BlipForConditionalGeneration(config)
        _check_image_size(blip, self.codec.input_size)
        parameters = dict(blip.named_parameters())
        for prefix in self.frozen:
            if not any(_is_under(name, [prefix]) for name in parameters):
                raise ValueError(f'frozen={prefix!r} is no module or parameter of BLIP; there are '
                                 f'{sorted({name.split(".")[0] for name in parameters})} and what is in them')
        for name, parameter in parameters.items():
            parameter.requires_grad_(not _is_under(name, self.frozen))
        if self.gradient_checkpointing:
            blip.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
        self.architecture, self.unbuilt = architecture, ''
        self.blip = blip.to(stand_in)
        self.train(self.training)

    def _require_built(self) -> None:
        if self.architecture is None:
            raise FileNotFoundError(f'BLIP is not built: {self.unbuilt}. A test needs a checkpoint, which brings its '
                                    'own architecture; training needs `pretrained` or `blip`')

    def _load_architecture(self, state_dict: dict, prefix: str, *args) -> None:
        found = BLIPArchitecture.pop_from(state_dict, prefix)
        if self.architecture is None and found is not None:
            self._build(found)
        self._require_built()
        differences = [] if found is None else self.architecture.differences(found)
        if differences:
            raise ValueError(f"the checkpoint is of another BLIP than the config's: {', '.join(differences)}")


class _Unbuilt(nn.Module):
    """Stands in until BLIP's architecture is known. Its parameter lets optimizers and wrappers be made, and tells the
    device and precision.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))


def _save_architecture(module: BLIPCaptionPoseEstimator, state_dict: dict, prefix: str, metadata: dict) -> None:
    if module.architecture is not None:
        state_dict.update({f'{prefix}{key}': tensor for key, tensor in module.architecture.to_tensors().items()})


def _scores(probabilities: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(N, K), the geometric mean of a joint's numbers' probabilities (N, K, S): 0 where it is not valid, and only
    there. What the codec understood of a caption outside the grammar has the least.
    """
    scores = np.nan_to_num(probabilities).prod(axis=-1) ** (1 / probabilities.shape[-1])
    return np.where(valid, scores.clip(1e-4, 1), 0).astype(np.float32)


def _is_under(name: str, prefixes: Sequence[str]) -> bool:
    return any(f'{name}.'.startswith(f'{prefix}.') for prefix in prefixes)


def _caption(sample) -> str:
    labels = getattr(sample, 'gt_instance_labels', {})
    if 'caption' not in labels or len(labels.caption) != 1:
        raise ValueError("a data sample has no caption, or several; the pipeline needs dict(type='GenerateTarget', "
                         'encoder=codec) with the codec CaptionPose, and one person or animal for each image')
    return labels.caption[0]


def _check_image_size(blip: nn.Module, input_size: tuple[int, int]) -> None:
    vision = blip.config.vision_config
    if any(side % vision.patch_size for side in input_size):
        raise ValueError(f'input_size={tuple(input_size)} of the codec must be multiples of the patch size, '
                         f'{vision.patch_size}')
    other = tuple(input_size) != (vision.image_size, vision.image_size)
    if other and 'interpolate_pos_encoding' not in inspect.signature(blip.vision_model.forward).parameters:
        raise ValueError(f'input_size={tuple(input_size)} of the codec is not the {vision.image_size}x'
                         f'{vision.image_size} of BLIP, and this transformers cannot interpolate its positions: '
                         "pip install 'transformers>=4.45'")


def _check_arguments(backbone: dict | None, init_cfg: dict | None, digit_weight: float, label_smoothing: float,
                     test_cfg: Mapping) -> None:
    if backbone:
        raise ValueError(f'backbone={backbone} must be empty; the image tower is that of BLIP')
    if init_cfg and init_cfg.get('type') != 'Pretrained':
        raise ValueError(f"init_cfg={init_cfg} must be of type 'Pretrained'; BLIP initialises itself otherwise")
    if digit_weight <= 0:
        raise ValueError(f'digit_weight={digit_weight} must be more than 0')
    if not 0 <= label_smoothing < 1:
        raise ValueError(f'label_smoothing={label_smoothing} must be in [0, 1)')
    _check_test_cfg(test_cfg)


def _check_test_cfg(test_cfg: Mapping) -> None:
    if test_cfg.get('flip_test'):
        raise ValueError('flip_test=True of test_cfg: the captions of an image and its mirror image cannot be averaged '
                         'as heatmaps are; leave it out')
    decoding = test_cfg.get('decoding', 'constrained')
    if decoding not in DECODINGS:
        raise ValueError(f'decoding={decoding!r} of test_cfg must be one of {DECODINGS}')
