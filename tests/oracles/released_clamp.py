"""The released CLAMP, written from its description: plain functions on a state dict with the released names.

It shares no code with the package, nor with open_clip, so that it can tell whether a converted model computes what the
released one does. Attention, norms, resizing, targets and losses are written out; convolutions are torch's.
"""
import math

import torch
import torch.nn.functional as F

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
FLIPS = [(0, 1), (5, 8), (6, 9), (7, 10), (11, 14), (12, 15), (13, 16)]  # AP-10K
# With [SOT] and [EOT], padded with 0 to 5, in the order of the keypoints.
AP10K_NAMES = [
    'left eye', 'right eye', 'nose', 'neck', 'tail root', 'left shoulder', 'left elbow', 'left front paw',
    'right shoulder', 'right elbow', 'right front paw', 'left hip', 'left knee', 'left back paw', 'right hip',
    'right knee', 'right back paw'
]


class Released:
    """``weights``: name -> tensor. ``kind``: 'resnet' or 'vit'. The head counts that no shape tells are given.

    ``training``: batch norm takes the statistics of the batch. There is no dropout and no drop path.
    """

    def __init__(self, weights, kind, token_ids, *, image_heads, text_heads=8, training=False):
        self.weights = weights
        self.kind = kind
        self.token_ids = token_ids  # (K, 5)
        self.image_heads, self.text_heads, self.prompt_heads, self.decoder_heads = image_heads, text_heads, 8, 4
        self.training = training

    # building blocks

    def __getitem__(self, name):
        return self.weights[name]

    def linear(self, x, name, bias=True):
        out = torch.einsum('...i,oi->...o', x, self[f'{name}.weight'])
        return out + self[f'{name}.bias'] if bias else out

    def layer_norm(self, x, name):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean)**2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-5) * self[f'{name}.weight'] + self[f'{name}.bias']

    def batch_norm(self, x, name):
        if self.training:
            mean = x.mean((0, 2, 3))
            variance = ((x - mean[:, None, None])**2).mean((0, 2, 3))
        else:
            mean, variance = self[f'{name}.running_mean'], self[f'{name}.running_var']
        x = (x - mean[:, None, None]) / torch.sqrt(variance[:, None, None] + 1e-5)
        return x * self[f'{name}.weight'][:, None, None] + self[f'{name}.bias'][:, None, None]

    @staticmethod
    def attention(q, k, v, heads, mask=None):
        """q (B, N, C), k and v (B, M, C)."""
        width = q.shape[-1] // heads
        out = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = torch.einsum('bnc,bmc->bnm', q[..., part], k[..., part]) / math.sqrt(width)
            if mask is not None:
                scores = scores + mask
            out.append(torch.einsum('bnm,bmc->bnc', scores.softmax(-1), v[..., part]))
        return torch.cat(out, -1)

    def transformer(self, x, prefix, heads, mask=None):
        """CLIP's: pre-norm blocks with QuickGELU. Gives the tokens behind every block."""
        outputs = []
        while f'{prefix}.{len(outputs)}.ln_1.weight' in self.weights:
            block = f'{prefix}.{len(outputs)}'
            normed = self.layer_norm(x, f'{block}.ln_1')
            qkv = torch.einsum('...i,oi->...o', normed, self[f'{block}.attn.in_proj_weight'])
            q, k, v = (qkv + self[f'{block}.attn.in_proj_bias']).chunk(3, -1)
            x = x + self.linear(self.attention(q, k, v, heads, mask), f'{block}.attn.out_proj')
            hidden = self.linear(self.layer_norm(x, f'{block}.ln_2'), f'{block}.mlp.c_fc')
            x = x + self.linear(hidden * torch.sigmoid(1.702 * hidden), f'{block}.mlp.c_proj')
            outputs.append(x)
        return outputs

    # image

    def backbone(self, images):
        """images (B, 3, H, W), normalised -> maps, the global embedding (B, D), the local one (B, D, h, w)."""
        return self.resnet(images) if self.kind == 'resnet' else self.vit(images)

    def resnet(self, x):
        for index, stride in ((1, 2), (2, 1), (3, 1)):
            x = F.conv2d(x, self[f'backbone.conv{index}.weight'], stride=stride, padding=1)
            x = self.batch_norm(x, f'backbone.bn{index}').clamp(min=0)
        x = F.avg_pool2d(x, 2)
        maps = []
        for layer in (1, 2, 3, 4):
            block = 0
            while f'backbone.layer{layer}.{block}.conv1.weight' in self.weights:
                x = self.bottleneck(x, f'backbone.layer{layer}.{block}', 2 if layer > 1 and block == 0 else 1)
                block += 1
            maps.append(x)
        return maps, *self.attention_pool(x)

    def bottleneck(self, x, name, stride):
        out = self.batch_norm(F.conv2d(x, self[f'{name}.conv1.weight']), f'{name}.bn1').clamp(min=0)
        out = self.batch_norm(F.conv2d(out, self[f'{name}.conv2.weight'], padding=1), f'{name}.bn2').clamp(min=0)
        if stride > 1:
            out, x = F.avg_pool2d(out, stride), F.avg_pool2d(x, stride)
        out = self.batch_norm(F.conv2d(out, self[f'{name}.conv3.weight']), f'{name}.bn3')
        if f'{name}.downsample.0.weight' in self.weights:
            x = self.batch_norm(F.conv2d(x, self[f'{name}.downsample.0.weight']), f'{name}.downsample.1')
        return (out + x).clamp(min=0)

    def attention_pool(self, x):
        B, C, H, W = x.shape
        tokens = x.reshape(B, C, H * W).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        tokens = tokens + self.pool_positions(H, W)
        name = 'backbone.attnpool'
        q, k, v = (self.linear(tokens, f'{name}.{part}_proj') for part in 'qkv')
        out = self.linear(self.attention(q, k, v, self.image_heads), f'{name}.c_proj')
        return out[:, 0], out[:, 1:].transpose(1, 2).reshape(B, -1, H, W)

    def pool_positions(self, H, W):
        return resize_table(self['backbone.attnpool.positional_embedding'], H, W)

    def vit(self, images):
        x = F.conv2d(images, self['backbone.conv1.weight'], stride=self['backbone.conv1.weight'].shape[-1])
        B, C, H, W = x.shape
        first = self['backbone.class_embedding']
        positions = resize_table(self['backbone.positional_embedding'], H, W)
        # The class embedding is added twice.
        token = first + positions[0] + first
        x = torch.cat([token.expand(B, 1, C), x.reshape(B, C, H * W).transpose(1, 2) + positions[1:]], 1)
        outputs = self.transformer(self.layer_norm(x, 'backbone.ln_pre'), 'backbone.transformer.resblocks',
                                   self.image_heads)
        embedding = self.layer_norm(outputs[-1], 'backbone.ln_post') @ self['backbone.proj']
        to_map = lambda tokens: tokens[:, 1:].transpose(1, 2).reshape(B, -1, H, W)  # noqa: E731
        return [to_map(tokens) for tokens in outputs], embedding[:, 0], to_map(embedding)

    # text

    def text(self):
        """(K, D): [SOT], the contexts, the name, [EOT] and padding through the causal text tower."""
        ids = self.token_ids
        embedded = self['text_encoder.token_embedding.weight'][ids]
        contexts = self['contexts'].expand(len(ids), -1, -1)
        x = torch.cat([embedded[:, :1], contexts, embedded[:, 1:]], 1) + self['text_encoder.positional_embedding']
        length = x.shape[1]
        mask = torch.full((length, length), float('-inf'), dtype=x.dtype).triu(1)
        x = self.transformer(x, 'text_encoder.transformer.resblocks', self.text_heads, mask)[-1]
        x = self.layer_norm(x, 'text_encoder.ln_final')
        ends = ids.argmax(1) + contexts.shape[1]
        return torch.stack([x[k, end] for k, end in enumerate(ends)]) @ self['text_encoder.text_projection']

    def encoded_text(self):
        text = self.text()[None]
        x = self.transformer(text, 'prompt_encoder.transformer.resblocks', self.prompt_heads)[-1]
        return self.layer_norm(x, 'prompt_encoder.ln_final')[0]

    def context_decoder(self, text, memory):
        """text (B, K, D), memory (B, N, D) -> (B, K, D)."""
        name = 'context_decoder'
        memory = self.linear(self.layer_norm(memory, f'{name}.memory_proj.0'), f'{name}.memory_proj.1')
        memory = self.layer_norm(memory, f'{name}.memory_proj.2')
        x = self.linear(self.layer_norm(text, f'{name}.text_proj.0'), f'{name}.text_proj.1')
        layer = 0
        while f'{name}.decoder.{layer}.norm1.weight' in self.weights:
            part = f'{name}.decoder.{layer}'
            normed = self.layer_norm(x, f'{part}.norm1')
            x = x + self.unbiased_attention(normed, normed, f'{part}.self_attn')
            x = x + self.unbiased_attention(self.layer_norm(x, f'{part}.norm2'), memory, f'{part}.cross_attn')
            hidden = self.linear(self.layer_norm(x, f'{part}.norm3'), f'{part}.mlp.0')
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            x = x + self.linear(hidden, f'{part}.mlp.3')
            layer += 1
        return self.linear(self.layer_norm(x, f'{name}.out_proj.0'), f'{name}.out_proj.1')

    def unbiased_attention(self, query, memory, name):
        q = self.linear(query, f'{name}.q_proj', bias=False)
        k, v = (self.linear(memory, f'{name}.{part}_proj', bias=False) for part in 'kv')
        return self.linear(self.attention(q, k, v, self.decoder_heads), f'{name}.proj')

    # both

    def language(self, pooled, dense):
        """The prompts that have seen the image (B, K, D), and the score maps (B, K, h, w)."""
        text = self.encoded_text().expand(len(dense), -1, -1)
        tokens = torch.cat([pooled[:, None], dense.flatten(2).transpose(1, 2)], 1)
        text = text + self['gamma'] * self.context_decoder(text, tokens)
        return text, torch.einsum('bkd,bdhw->bkhw', unit(text, 2), unit(dense, 1))

    def upsample(self, x, prefix):
        """Transposed convolutions, each with batch norm and ReLU, then a 1x1 convolution."""
        index = 0
        while f'{prefix}.deconv_layers.{index}.weight' in self.weights:
            x = F.conv_transpose2d(x, self[f'{prefix}.deconv_layers.{index}.weight'], stride=2, padding=1)
            x = self.batch_norm(x, f'{prefix}.deconv_layers.{index + 1}').clamp(min=0)
            index += 3
        return F.conv2d(x, self[f'{prefix}.final_layer.weight'], self[f'{prefix}.final_layer.bias'])

    def forward(self, pixels):
        """RGB pixels (B, 3, H, W) in [0, 255] -> all that the losses need."""
        mean, std = (torch.tensor(values, dtype=pixels.dtype)[:, None, None] for values in IMAGENET)
        maps, pooled, dense = self.backbone((pixels - mean) / std)
        text, score_map = self.language(pooled, dense)
        heatmaps = self.upsample(torch.cat([maps[-1], score_map], 1), 'keypoint_head')
        return dict(heatmaps=heatmaps, dense=dense, text=text, score_map=score_map)

    def heatmaps(self, pixels, flips=None):
        """With ``flips``, averaged with those of the flipped image, which move one pixel to the right."""
        heatmaps = self.forward(pixels)['heatmaps']
        if flips is None:
            return heatmaps
        flipped = self.forward(pixels.flip(3))['heatmaps'].flip(3)
        order = list(range(heatmaps.shape[1]))
        for left, right in flips:
            order[left], order[right] = right, left
        flipped = flipped[:, order]
        shifted = flipped.clone()
        shifted[..., 1:] = flipped[..., :-1]
        return (heatmaps + shifted) / 2

    def losses(self, pixels, keypoints, visible, *, heatmap_size, spatial_weight, feature_weight=5e-4):
        """keypoints (B, K, 2) in pixels of the input, visible (B, K) in {0, 1}; heatmap_size (W, H)."""
        out = self.forward(pixels)
        size = (pixels.shape[3], pixels.shape[2])
        target, weight = targets(keypoints, visible, size, heatmap_size, sigma=2)
        spatial = self.upsample(out['score_map'], 'upconv_head')
        return dict(
            loss_kpt=joints_mse(out['heatmaps'], target, weight),
            loss_spatial=spatial_weight * joints_mse(spatial, target, weight),
            loss_feature=feature_weight * self.feature_loss(out, keypoints, visible, size))

    def feature_loss(self, out, keypoints, visible, size):
        h, w = out['dense'].shape[-2:]
        coarse, weight = targets(keypoints, visible, size, (w, h), sigma=0.5)
        scale = self['logit_scale'].exp()
        B, K = weight.shape
        features = torch.einsum('bkhw,bdhw->bkd', (coarse == 1).to(out['dense']), out['dense'])
        total = 0
        for b in range(B):
            logits = scale * unit(features[b], 1) @ unit(out['text'][b], 1).T
            for k in range(K):
                both = -logits[k].log_softmax(0)[k] - logits[:, k].log_softmax(0)[k]
                total = total + weight[b, k] * both / 2
        return total / (B * K)


def unit(x, dim):
    """Of length 1; a vector of zeros stays one."""
    return x / torch.sqrt((x**2).sum(dim, keepdim=True).clamp(min=1e-24))


def resize_weights(before, after):
    """(after, before): linear interpolation between the centres of cells, constant beyond the outermost."""
    weights = torch.zeros(after, before)
    for row in range(after):
        position = min(max((row + 0.5) * before / after - 0.5, 0), before - 1)
        low = int(position)
        weights[row, low] += 1 - (position - low)
        weights[row, min(low + 1, before - 1)] += position - low
    return weights


def resize_table(table, H, W):
    """A square table of positions behind the first row, bilinearly to H x W."""
    side = math.isqrt(len(table) - 1)
    assert side**2 == len(table) - 1
    grid = table[1:].reshape(side, side, -1)
    grid = torch.einsum('yh,xw,hwc->yxc', resize_weights(side, H).to(table), resize_weights(side, W).to(table), grid)
    return torch.cat([table[:1], grid.reshape(H * W, -1)])


def targets(keypoints, visible, size, heatmap_size, sigma):
    """MMPose 0.x's Gaussians, (B, K, h, w), and weights (B, K): 0 where the whole patch lies outside."""
    W, H = heatmap_size
    radius = 3 * sigma
    side = int(2 * radius + 1)
    middle = side // 2
    target = torch.zeros(*keypoints.shape[:2], H, W)
    weight = visible.clone().float()
    for b in range(len(keypoints)):
        for k in range(keypoints.shape[1]):
            if weight[b, k] <= 0.5:
                weight[b, k] = 0
                continue
            x, y = (int(float(keypoints[b, k, i]) / (size[i] / heatmap_size[i]) + 0.5) for i in (0, 1))
            left, top = int(x - radius), int(y - radius)
            if left >= W or top >= H or int(x + radius + 1) < 0 or int(y + radius + 1) < 0:
                weight[b, k] = 0
                continue
            for row in range(side):
                for column in range(side):
                    # The end of the patch is not past int(centre + radius + 1).
                    inside = 0 <= top + row < min(H, int(y + radius + 1))
                    if inside and 0 <= left + column < min(W, int(x + radius + 1)):
                        value = math.exp(-((column - middle)**2 + (row - middle)**2) / (2 * sigma**2))
                        target[b, k, top + row, left + column] = value
    return target, weight


def joints_mse(heatmaps, target, weight):
    """The mean over joints of each one's mean squared error, both sides times the weight."""
    total = 0
    for k in range(heatmaps.shape[1]):
        w = weight[:, k, None, None]
        total = total + ((heatmaps[:, k] * w - target[:, k] * w)**2).mean()
    return total / heatmaps.shape[1]


def decode(heatmap):
    """The largest cell, a quarter towards its larger neighbour: (x, y) in cells. For peaks away from the border."""
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    dx, dy = heatmap[y, x + 1] - heatmap[y, x - 1], heatmap[y + 1, x] - heatmap[y - 1, x]
    return x + 0.25 * float(dx.sign()), y + 0.25 * float(dy.sign())
