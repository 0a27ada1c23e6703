from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ...structures import VisionLanguageFeatures
from ..layers.attention_pool import attend
from ..layers.clip_architecture import CLIPArchitecture, add_stochastic_depth
from ..layers.position_table import resize_position_table
from .clip_backbone import CLIPBackbone


@MODELS.register_module()
class CLIPResNet(CLIPBackbone):
    """CLIP's ResNet as a backbone: open_clip's tower, with the attention pool kept for every position.

    Returns :class:`VisionLanguageFeatures`: the maps of the stages ``out_indices`` at strides 4, 8, 16, 32, ``dense``
    (B, D, H / 32, W / 32) (the attention pool's output at every position) and ``pooled`` (B, D), which at the native
    size is open_clip's ``encode_image``. Batch norm is trained unless ``norm_eval``.

    Args:
        arch: see :class:`CLIPBackbone`; 'RN50', 'RN101', 'RN50x4', ... ('-quickgelu' for OpenAI's weights, whose text
            tower needs it; this tower has no GELU).
        input_size: (W, H) in pixels, multiples of 32.
        out_indices: stages 0 to 3 whose maps are returned, in ascending order.
        frozen_stages: -1 freezes nothing, 0 the stem, n also the first n stages.
        drop_path_rate: stochastic depth, from 0 at the first residual block to this rate at the last.
        with_embedding: False leaves out the attention pool, and stages behind the last output.
        with_cp: trades time for memory by gradient checkpointing of the residual blocks.
        norm_eval: keeps batch norm's running statistics as they are.
        crop_positions: takes the upper left corner of the attention pool's position table where the input is smaller
            than ``input_size``, in place of resizing it. The released detectors of DenseCLIP do, so their checkpoints
            need it.
    """

    _position_key = 'tower.attnpool.positional_embedding'

    def __init__(self,
                 arch: str | dict = 'RN50-quickgelu',
                 *,
                 input_size: tuple[int, int] = (224, 224),
                 out_indices: Sequence[int] = (0, 1, 2, 3),
                 frozen_stages: int = -1,
                 drop_path_rate: float = 0.0,
                 with_embedding: bool = True,
                 with_cp: bool = False,
                 norm_eval: bool = False,
                 crop_positions: bool = False,
                 quick_gelu: bool | None = None,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(
            arch,
            input_size=input_size,
            frozen_stages=frozen_stages,
            with_embedding=with_embedding,
            with_cp=with_cp,
            quick_gelu=quick_gelu,
            init_cfg=init_cfg)
        indices = list(out_indices)
        if not indices or indices != sorted(set(indices)) or not 0 <= indices[0] <= indices[-1] < 4:
            raise ValueError(f'out_indices={tuple(out_indices)} must be ascending and name stages 0 to 3')
        self.out_indices = indices
        self.norm_eval = norm_eval
        self.crop_positions = crop_positions
        self.drop_path_rate = drop_path_rate
        tower = self.tower
        layers = [tower.layer1, tower.layer2, tower.layer3, tower.layer4]
        self.depth = sum(map(len, layers))
        self.num_stages = 4 if with_embedding else indices[-1] + 1
        if not with_embedding:
            tower.attnpool = None
            for index in range(self.num_stages, 4):
                setattr(tower, f'layer{index + 1}', nn.Identity())
        self._drop_paths()
        self._freeze()

    def forward(self, x: Tensor) -> VisionLanguageFeatures:
        """x: (B, 3, H, W), normalised."""
        self._grid(*x.shape[-2:])
        tower = self.tower
        x = tower.stem(x)
        maps = []
        for index in range(self.num_stages):
            for block in self._layer(index):
                x = self._recomputed(block, x) if self.with_cp and x.requires_grad else block(x)
            if index in self.out_indices:
                maps.append(x)
        if not self.with_embedding:
            return VisionLanguageFeatures(maps)
        pooled, dense = attend(self.tower.attnpool, x, self.grid_size, crop=self.crop_positions)
        return VisionLanguageFeatures(maps, dense=dense, pooled=pooled)

    @staticmethod
    def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _kept_statistics(block)))

    def train(self, mode: bool = True) -> CLIPResNet:
        super().train(mode)
        # Again, for the modules that MMEngine's sync_bn puts in the place of batch norm.
        self._drop_paths()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _layer(self, index: int) -> nn.Sequential:
        return getattr(self.tower, f'layer{index + 1}')

    def _drop_paths(self) -> None:
        blocks = [block for index in range(self.num_stages) for block in self._layer(index)]
        add_stochastic_depth([[block.bn3] for block in blocks], self.drop_path_rate, depth=self.depth)

    def _stages(self) -> list[list[nn.Module | Tensor]]:
        tower = self.tower
        stem = [tower.conv1, tower.bn1, tower.conv2, tower.bn2, tower.conv3, tower.bn3]
        return [stem, *([self._layer(index)] for index in range(self.num_stages))]

    @staticmethod
    def _check_arch(vision_cfg: dict, arch: str | dict) -> None:
        if not isinstance(vision_cfg.get('layers'), (list, tuple)):
            raise ValueError(f"arch='{arch}' is a vision transformer; its backbone is CLIPVisionTransformer")

    @staticmethod
    def _stride(vision_cfg: dict) -> int:
        return 32

    @staticmethod
    def _build_tower(architecture: CLIPArchitecture, grid: tuple[int, int]) -> nn.Module:
        from open_clip.model import _build_vision_tower
        config = dict(architecture.tower, image_size=32 * max(grid))
        tower = _build_vision_tower(architecture.embed_dim, config, architecture.quick_gelu)
        # open_clip's pool knows square grids only.
        table = tower.attnpool.positional_embedding
        tower.attnpool.positional_embedding = nn.Parameter(
            resize_position_table(table.detach(), grid, source_grid=(max(grid), max(grid))).clone())
        return tower


@contextmanager
def _kept_statistics(block: nn.Module) -> Iterator[None]:
    """The backward pass computes a block again; its batch norms have seen this batch already."""
    norms = [(norm, norm.momentum, norm.num_batches_tracked) for norm in block.modules()
             if isinstance(norm, _BatchNorm) and norm.training]
    for norm, *_ in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in norms:
            norm.momentum, norm.num_batches_tracked = momentum, count
