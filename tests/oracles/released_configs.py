"""The shipped configs for the authors' checkpoints, at the size of a random one, and batches for them."""
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpose.datasets.transforms import GenerateTarget, PackPoseInputs

from .released_files import RN50, TINY_RN, TINY_VIT, TINY_VIT_L, VIT_B, VIT_L

CONFIGS = Path(__file__).parents[2] / 'configs'
CLAMP = {
    **dict.fromkeys((RN50, TINY_RN), 'clamp/clamp_rn50-released_4xb32-210e_ap10k-256x256.py'),
    **dict.fromkeys((VIT_B, TINY_VIT), 'clamp/clamp_vit-b16-released_4xb32-210e_ap10k-256x256.py'),
    **dict.fromkeys((VIT_L, TINY_VIT_L), 'clamp/clamp_vit-l14-released_4xb32-210e_ap10k-224x224.py'),
}


@cache
def _read(name):
    return Config.fromfile(CONFIGS / name)


def load(name):
    """A shipped config, to be changed."""
    return deepcopy(_read(name))


def image_arch(sizes):
    arch = dict(embed_dim=sizes.embed_dim, quick_gelu=True, width=sizes.width)
    if sizes.kind == 'resnet':
        return arch | dict(layers=list(sizes.blocks), head_width=32 * sizes.width // sizes.image_heads)
    return arch | dict(layers=sizes.blocks[0], head_width=sizes.width // sizes.image_heads, patch_size=sizes.patch)


def text_arch(sizes, heads=8):
    return dict(embed_dim=sizes.embed_dim, quick_gelu=True, width=sizes.text_width, layers=sizes.text_blocks,
                heads=heads)


def released_config(sizes, name=None):
    """The shipped config of a CLAMP; for a tiny one with narrow towers, and one heatmap cell for four pixels or 3.5."""
    cfg = load(name or CLAMP[sizes])
    if sizes in (RN50, VIT_B, VIT_L):
        return cfg
    side, cells = sizes.grid * (32 if sizes.kind == 'resnet' else sizes.patch), sizes.grid * 2**sizes.upsamplings
    codec = dict(type='MSRAHeatmap', input_size=(side, side), heatmap_size=(cells, cells), sigma=2)
    model = cfg.model
    model.backbone.arch, model.backbone.input_size = image_arch(sizes), (side, side)
    # As CLIP's ViT-L/14: the tower's own number of heads is not the released one.
    model.neck.text_encoder.arch = text_arch(sizes, heads=4 if model.neck.text_encoder.get('heads') else 8)
    count = sizes.upsamplings
    model.head.update(in_channels=sizes.channels + sizes.keypoints, decoder=codec,
                      deconv_out_channels=(sizes.deconv, ) * count, deconv_kernel_sizes=(4, ) * count)
    if sizes.kind == 'resnet':
        model.head.score_head = dict(deconv_out_channels=(sizes.upconv, ) * count)
    for part in (model.backbone, model.neck.text_encoder):
        part.init_cfg = None
    cfg.codec = codec
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        for transform in loader.dataset.pipeline:
            if 'input_size' in transform:
                transform.input_size = codec['input_size']
            if 'encoder' in transform:
                transform.encoder = codec
    return cfg


def make_batch(codec, keypoints, visible, *, seed=0, flip_indices=None):
    """What the data loader gives for ``keypoints`` (B, K, 2) in pixels of the input, and the RGB pixels as floats."""
    width, height = codec['input_size']
    rng = np.random.default_rng(seed)
    transforms = [GenerateTarget(encoder=dict(codec)), PackPoseInputs(pack_transformed=True)]
    packed, pixels = [], []
    for index, (points, seen) in enumerate(zip(keypoints, visible)):
        # Pictures with large parts, so that no two are the same after pooling.
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3)).repeat(16, 0).repeat(16, 1)
        picture = np.clip(coarse + rng.normal(0, 30, (height, width, 3)), 0, 255).astype(np.uint8)
        sample = dict(
            id=index, img_id=index, img_path=f'{index}.jpg', img=picture, category_id=1,
            img_shape=(height, width), ori_shape=(height, width),
            input_size=(width, height), input_center=np.array([width, height]) / 2,
            input_scale=np.array([width, height], np.float32),
            bbox=np.array([[0, 0, width, height]], np.float32), bbox_score=np.ones(1, np.float32),
            bbox_center=np.array([[width, height]], np.float32) / 2,
            bbox_scale=np.array([[width, height]], np.float32),
            keypoints=np.asarray(points, np.float32)[None], transformed_keypoints=np.asarray(points, np.float32)[None],
            keypoints_visible=np.asarray(seen, np.float32)[None],
            flip_indices=list(flip_indices or range(len(points))),
            dataset_keypoint_weights=np.ones(len(points), np.float32))
        for transform in transforms:
            sample = transform(sample)
        packed.append(sample)
        pixels.append(torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1).float())
    return pseudo_collate(packed), torch.stack(pixels)


def hard_keypoints(size, stride, count, *, batch, seed=0):
    """Keypoints (B, K, 2) inside, on borders of cells, near and beyond the image's borders, and their visibility."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, size - 1, (batch, count, 2))
    edges = [0, -0.4, -0.6, stride / 2, stride / 2 - 1e-3, stride, 1.5 * stride, 2.5 * stride, size - stride / 2,
             size - stride / 2 - 1e-3, size - 1, size - 0.5, size + 3, size + stride, size + 4 * stride, -stride,
             -1.5 * stride, -2.5 * stride, -6 * stride]
    for image in range(1, batch):
        for k in range(count):
            axis = rng.integers(2)
            points[image, k, axis] = edges[(k + count * (image - 1)) % len(edges)]
    visible = (rng.random((batch, count)) > 0.15).astype(np.float32)
    visible[0, 3] = 0
    points[0, 3] = 0  # as annotation files have what nobody saw
    return points.astype(np.float32), visible
