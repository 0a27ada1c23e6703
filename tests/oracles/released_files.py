"""Random checkpoints with the tensors that the authors' files have, at any size."""
import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the shapes of a released model follow from. ``blocks``: of the image tower, per stage of a ResNet.

    ``width``: of a ResNet's first stage over 4, or of a ViT. ``grid``: cells along a side of the position table.
    """

    kind: str
    width: int
    blocks: tuple
    embed_dim: int
    grid: int
    text_width: int
    image_heads: int
    patch: int = 16
    text_blocks: int = 12
    vocabulary: int = 49408
    context_width: int = 256
    deconv: int = 256
    upconv: int = 256  # of a ResNet; a ViT has as many channels as keypoints
    keypoints: int = 17

    @property
    def channels(self):
        return 32 * self.width if self.kind == 'resnet' else self.width

    @property
    def upsamplings(self):
        return 3 if self.kind == 'resnet' else 2


RN50 = Sizes('resnet', 64, (3, 4, 6, 3), 1024, 8, 512, 32)
VIT_B = Sizes('vit', 768, (12, ), 512, 16, 512, 12)
VIT_L = Sizes('vit', 1024, (24, ), 768, 16, 768, 16, patch=14)
TINY_RN = Sizes('resnet', 8, (1, 2, 1, 1), 32, 4, 32, 4, text_blocks=2, deconv=16, upconv=8)
TINY_VIT = Sizes('vit', 32, (3, ), 32, 4, 32, 2, text_blocks=2, deconv=16)
TINY_VIT_L = Sizes('vit', 32, (4, ), 32, 8, 64, 2, patch=14, text_blocks=2, deconv=16)  # the input is 3.5 heatmaps wide


class Maker:
    """Random tensors whose scale lets deep networks neither vanish nor explode."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors = {}

    def normal(self, name, *shape, std=1.0, mean=0.0):
        self.tensors[name] = mean + std * torch.randn(*shape, generator=self.generator)

    def linear(self, name, out, inner, bias=True, gain=1.0):
        self.normal(f'{name}.weight', out, inner, std=gain * inner**-0.5)
        if bias:
            self.normal(f'{name}.bias', out, std=0.1)

    def conv(self, name, out, inner, size, bias=False):
        self.normal(f'{name}.weight', out, inner, size, size, std=(inner * size * size)**-0.5)
        if bias:
            self.normal(f'{name}.bias', out, std=0.1)

    def norm(self, name, width):
        self.normal(f'{name}.weight', width, std=0.2, mean=1.0)
        self.normal(f'{name}.bias', width, std=0.2)

    def batch_norm(self, name, width):
        self.norm(name, width)
        self.normal(f'{name}.running_mean', width, std=0.2)
        self.tensors[f'{name}.running_var'] = 0.5 + torch.rand(width, generator=self.generator)
        self.tensors[f'{name}.num_batches_tracked'] = torch.tensor(1234)

    def resblock(self, name, width):
        self.normal(f'{name}.attn.in_proj_weight', 3 * width, width, std=1.5 * width**-0.5)
        self.normal(f'{name}.attn.in_proj_bias', 3 * width, std=0.1)
        self.linear(f'{name}.attn.out_proj', width, width, gain=0.5)
        self.norm(f'{name}.ln_1', width)
        self.linear(f'{name}.mlp.c_fc', 4 * width, width)
        self.linear(f'{name}.mlp.c_proj', width, 4 * width, gain=0.5)
        self.norm(f'{name}.ln_2', width)


def make_towers(sizes, *, seed=0, positions=13):
    """The tensors that CLAMP and DenseCLIP have in common: two towers, contexts, context decoder, gamma."""
    make = Maker(seed)
    D, width = sizes.embed_dim, sizes.width
    if sizes.kind == 'resnet':
        half = width // 2
        for index, (out, inner) in enumerate(((half, 3), (half, half), (width, half)), 1):
            make.conv(f'backbone.conv{index}', out, inner, 3)
            make.batch_norm(f'backbone.bn{index}', out)
        inner = width
        for layer, blocks in enumerate(sizes.blocks, 1):
            planes = width * 2**(layer - 1)
            for block in range(blocks):
                name = f'backbone.layer{layer}.{block}'
                convolutions = (planes, inner, 1), (planes, planes, 3), (4 * planes, planes, 1)
                for index, (a, b, size) in enumerate(convolutions, 1):
                    make.conv(f'{name}.conv{index}', a, b, size)
                    make.batch_norm(f'{name}.bn{index}', a)
                if block == 0:
                    make.conv(f'{name}.downsample.0', 4 * planes, inner, 1)
                    make.batch_norm(f'{name}.downsample.1', 4 * planes)
                inner = 4 * planes
        make.normal('backbone.attnpool.positional_embedding', sizes.grid**2 + 1, inner, std=0.5)
        for part in 'qkvc':
            make.linear(f'backbone.attnpool.{part}_proj', D if part == 'c' else inner, inner)
    else:
        make.normal('backbone.class_embedding', width, std=0.5)
        make.normal('backbone.positional_embedding', sizes.grid**2 + 1, width, std=0.5)
        make.normal('backbone.proj', width, D, std=width**-0.5)
        make.conv('backbone.conv1', width, 3, sizes.patch)
        make.norm('backbone.ln_pre', width)
        for block in range(sizes.blocks[0]):
            make.resblock(f'backbone.transformer.resblocks.{block}', width)
        make.norm('backbone.ln_post', width)
    text = sizes.text_width
    make.normal('text_encoder.token_embedding.weight', sizes.vocabulary, text, std=0.5)
    make.normal('text_encoder.positional_embedding', positions, text, std=0.3)
    for block in range(sizes.text_blocks):
        make.resblock(f'text_encoder.transformer.resblocks.{block}', text)
    make.norm('text_encoder.ln_final', text)
    make.normal('text_encoder.text_projection', text, D, std=text**-0.5)
    _make_context_decoder(make, D, sizes.context_width)
    make.normal('contexts', 1, 8, text)
    make.normal('gamma', D, std=0.3)
    return make


def _make_context_decoder(make, D, width, name='context_decoder'):
    make.norm(f'{name}.memory_proj.0', D)
    make.linear(f'{name}.memory_proj.1', width, D)
    make.norm(f'{name}.memory_proj.2', width)
    make.norm(f'{name}.text_proj.0', D)
    make.linear(f'{name}.text_proj.1', width, D)
    for layer in range(3):
        part = f'{name}.decoder.{layer}'
        for attention in ('self_attn', 'cross_attn'):
            for projection in 'qkv':
                make.linear(f'{part}.{attention}.{projection}_proj', width, width, bias=False, gain=1.5)
            make.linear(f'{part}.{attention}.proj', width, width)
        for index in (1, 2, 3):
            make.norm(f'{part}.norm{index}', width)
        make.linear(f'{part}.mlp.0', 4 * width, width)
        make.linear(f'{part}.mlp.3', width, 4 * width)
    make.norm(f'{name}.out_proj.0', width)
    make.linear(f'{name}.out_proj.1', D, width)


def make_upsampler(make, name, channels, widths, keypoints):
    for index, width in enumerate(widths):
        # A transposed convolution has its inputs first; each output adds up a quarter of its kernel.
        make.normal(f'{name}.deconv_layers.{3 * index}.weight', channels, width, 4, 4, std=(4 * channels)**-0.5)
        make.batch_norm(f'{name}.deconv_layers.{3 * index + 1}', width)
        channels = width
    make.conv(f'{name}.final_layer', keypoints, channels, 1, bias=True)


def make_released_clamp(sizes, *, seed=0, dead=float('nan')):
    """All tensors of a released CLAMP. ``dead`` fills the two that the released code creates and never writes."""
    make = make_towers(sizes, seed=seed)
    K, D = sizes.keypoints, sizes.embed_dim
    make.tensors['prompt_encoder.positional_embedding'] = torch.full((K, D), dead)
    make.tensors['prompt_encoder.text_projection'] = torch.full((D, D), dead)
    make.resblock('prompt_encoder.transformer.resblocks.0', D)
    make.norm('prompt_encoder.ln_final', D)
    count = sizes.upsamplings
    make_upsampler(make, 'keypoint_head', sizes.channels + K, [sizes.deconv] * count, K)
    make_upsampler(make, 'upconv_head', K, [sizes.upconv if sizes.kind == 'resnet' else K] * count, K)
    make.tensors['logit_scale'] = torch.tensor(2.5)
    make.normal('text_projection', D, D, std=D**-0.5)
    return make.tensors


def save_released(tensors, path, *, names=None, **meta):
    """As MMCV writes checkpoints: meta with the config's text, the state dict, the optimizer's state."""
    config = "model = dict(\n    type='CLAMP',\n"
    config += f'    class_names={names!r},\n)' if names else ')'
    optimizer = dict(
        state={0: dict(step=10, exp_avg=torch.zeros(3), exp_avg_sq=torch.zeros(3))},
        param_groups=[dict(lr=5e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4, amsgrad=False, params=[0])])
    meta = dict(mmpose_version='0.29.0', config=config, epoch=210, iter=16590, time='Mon Jan  2 03:04:05 2023',
                hook_msgs=dict(best_score=0.74, best_ckpt='best_AP_epoch_210.pth'), **meta)
    torch.save(dict(meta=meta, state_dict=tensors, optimizer=optimizer), path)
    return path


def make_released_denseclip(sizes, task, *, classes, seed=0, start_level=0, fpn=256):
    """All tensors of a released DenseCLIP: 'segmentation', 'retinanet' or 'mask-rcnn', on one of the towers."""
    make = make_towers(sizes, seed=seed)
    if sizes.kind == 'vit':
        _make_pyramid(make, sizes.width)
        inputs = [sizes.width, sizes.width, sizes.width + classes, sizes.width]
    else:
        inputs = [4 * sizes.width, 8 * sizes.width, 16 * sizes.width, 32 * sizes.width + classes]
    for index, channels in enumerate(inputs[start_level:]):
        make.conv(f'neck.lateral_convs.{index}.conv', fpn, channels, 1, bias=True)
        make.conv(f'neck.fpn_convs.{index}.conv', fpn, fpn, 3, bias=True)
    if task == 'segmentation':
        for level, count in enumerate((1, 1, 2, 3)):
            for index in range(count):
                # Every second place is that of an upsampling.
                name = f'decode_head.scale_heads.{level}.{2 * index}'
                make.conv(f'{name}.conv', fpn, fpn, 3)
                make.batch_norm(f'{name}.bn', fpn)
        make.conv('decode_head.conv_seg', classes, fpn, 1, bias=True)
    elif task == 'retinanet':
        count = len(inputs[start_level:])
        make.conv(f'neck.fpn_convs.{count}.conv', fpn, inputs[-1], 3, bias=True)
        make.conv(f'neck.fpn_convs.{count + 1}.conv', fpn, fpn, 3, bias=True)
        for branch in ('cls', 'reg'):
            for index in range(4):
                make.conv(f'bbox_head.{branch}_convs.{index}.conv', fpn, fpn, 3, bias=True)
        make.conv('bbox_head.retina_cls', 9 * classes, fpn, 3, bias=True)
        make.conv('bbox_head.retina_reg', 9 * 4, fpn, 3, bias=True)
    else:
        make.conv('rpn_head.rpn_conv', fpn, fpn, 3, bias=True)
        make.conv('rpn_head.rpn_cls', 3, fpn, 1, bias=True)
        make.conv('rpn_head.rpn_reg', 3 * 4, fpn, 1, bias=True)
        make.linear('roi_head.bbox_head.fc_cls', classes + 1, 1024)
        make.linear('roi_head.bbox_head.fc_reg', 4 * classes, 1024)
        make.linear('roi_head.bbox_head.shared_fcs.0', 1024, 49 * fpn)
        make.linear('roi_head.bbox_head.shared_fcs.1', 1024, 1024)
        for index in range(4):
            make.conv(f'roi_head.mask_head.convs.{index}.conv', fpn, fpn, 3, bias=True)
        make.normal('roi_head.mask_head.upsample.weight', fpn, fpn, 2, 2, std=fpn**-0.5)
        make.normal('roi_head.mask_head.upsample.bias', fpn, std=0.1)
        make.conv('roi_head.mask_head.conv_logits', classes, fpn, 1, bias=True)
    return make.tensors


def _make_pyramid(make, width):
    for level in (1, 2, 4):
        make.norm(f'backbone.fpn{level}.0', width)
    make.norm('backbone.fpn3', width)
    for name in ('fpn1.1', 'fpn1.4', 'fpn2.1'):
        make.normal(f'backbone.{name}.weight', width, width, 2, 2, std=width**-0.5)
        make.normal(f'backbone.{name}.bias', width, std=0.1)
    make.batch_norm('backbone.fpn1.2', width)
