"""The released DenseCLIP, written from its description: what is in front of the heads, and RetinaNet's head."""
import math

import torch
import torch.nn.functional as F

from .released_clamp import Released, resize_table

CLIP = ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305))


class ReleasedDenseCLIP(Released):
    """``detection``: positions are cropped, and score maps divided by 0.07; segmentation resizes and keeps them."""

    def __init__(self, *args, detection=False, blocks=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.detection = detection
        self.blocks = blocks  # of a ViT, whose maps are taken

    def pool_positions(self, H, W):
        table = self['backbone.attnpool.positional_embedding']
        if not self.detection:
            return resize_table(table, H, W)
        side = math.isqrt(len(table) - 1)
        rows = [1 + y * side + x for y in range(H) for x in range(W)]
        return table[[0, *rows]]

    def encoded_text(self):
        return self.text()

    def features(self, pixels):
        """RGB pixels in [0, 255] -> the four maps, one with the score maps appended, and the score maps."""
        mean, std = (torch.tensor(values)[:, None, None] for values in CLIP)
        maps, pooled, dense = self.backbone((pixels - mean) / std)
        text, score_map = self.language(pooled, dense)
        index = 3
        if self.kind == 'vit':
            maps, index = self.pyramid([maps[block] for block in self.blocks]), 2
        appended = score_map / 0.07 if self.detection else score_map
        maps[index] = torch.cat([maps[index], appended], 1)
        return maps, dict(dense=dense, pooled=pooled, text=text, score_map=score_map)

    def pyramid(self, maps):
        x = self.double(self.group_norm(maps[0], 'backbone.fpn1.0'), 'backbone.fpn1.1')
        x = self.batch_norm(x, 'backbone.fpn1.2')
        x = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        return [self.double(x, 'backbone.fpn1.4'),
                self.double(self.group_norm(maps[1], 'backbone.fpn2.0'), 'backbone.fpn2.1'),
                self.group_norm(maps[2], 'backbone.fpn3'),
                F.max_pool2d(self.group_norm(maps[3], 'backbone.fpn4.0'), 2)]

    def group_norm(self, x, name):
        """One group: over all channels and positions of an image."""
        mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), unbiased=False, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-5)
        return x * self[f'{name}.weight'][:, None, None] + self[f'{name}.bias'][:, None, None]

    def double(self, x, name):
        return F.conv_transpose2d(x, self[f'{name}.weight'], self[f'{name}.bias'], stride=2)

    def conv(self, x, name, stride=1):
        weight = self[f'{name}.weight']
        return F.conv2d(x, weight, self[f'{name}.bias'], stride=stride, padding=weight.shape[-1] // 2)

    def fpn(self, maps, *, start_level=0, extra=0, pool=False):
        """MMDetection's: lateral 1x1, from coarse to fine by doubling, 3x3; ``extra`` levels from the last input."""
        maps = maps[start_level:]
        levels = [self.conv(x, f'neck.lateral_convs.{i}.conv') for i, x in enumerate(maps)]
        for i in range(len(levels) - 1, 0, -1):
            size = levels[i - 1].shape[-2:]
            rows, columns = (torch.arange(n) * m // n for n, m in zip(size, levels[i].shape[-2:]))
            levels[i - 1] = levels[i - 1] + levels[i][..., rows[:, None], columns]
        outputs = [self.conv(x, f'neck.fpn_convs.{i}.conv') for i, x in enumerate(levels)]
        x = maps[-1]
        for i in range(len(levels), len(levels) + extra):
            x = self.conv(x, f'neck.fpn_convs.{i}.conv', stride=2)
            outputs.append(x)
        return [*outputs, outputs[-1][..., ::2, ::2]] if pool else outputs

    def retina_head(self, levels):
        """Class scores and box offsets of each level."""
        scores, boxes = [], []
        for x in levels:
            c = r = x
            for i in range(4):
                c = self.conv(c, f'bbox_head.cls_convs.{i}.conv').clamp(min=0)
                r = self.conv(r, f'bbox_head.reg_convs.{i}.conv').clamp(min=0)
            scores.append(self.conv(c, 'bbox_head.retina_cls'))
            boxes.append(self.conv(r, 'bbox_head.retina_reg'))
        return scores, boxes
