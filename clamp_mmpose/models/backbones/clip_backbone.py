from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers.clip_architecture import resolve_architecture
from ..layers.position_table import height_and_width, resize_position_table


class CLIPBackbone(BaseModule):
    """What the two CLIP image towers share: building, input sizes, position tables, frozen stages.

    ``arch``: a model name of open_clip, or a dict of ``embed_dim``, optionally ``quick_gelu``, and the fields of
    open_clip's ``CLIPVisionCfg``. ``input_size`` is (W, H) in pixels, as in MMPose's codecs; its position table is what
    the checkpoint holds. Other sizes run too, with the table resized on the fly (bilinear); a checkpoint written at
    another size is resized when it is loaded. Our checkpoints say their grid; of others the grid must be square.

    Weights come from ``init_cfg=dict(type='CLIPPretrained', checkpoint=...)``, which reads ``clip_part``,
    ``arch_name``, ``quick_gelu``, ``grid_size`` (h, w) and ``tower``.
    """

    clip_part = 'visual'
    _position_key: str

    def __init__(self,
                 arch: str | dict,
                 *,
                 input_size: tuple[int, int],
                 frozen_stages: int,
                 with_embedding: bool,
                 with_cp: bool,
                 quick_gelu: bool | None,
                 init_cfg: dict | list[dict] | None) -> None:
        super().__init__(init_cfg)
        architecture = resolve_architecture(arch, 'vision', quick_gelu=quick_gelu)
        self._check_arch(architecture.tower, arch)
        self.arch_name = architecture.name
        self.quick_gelu = architecture.quick_gelu
        self.embed_dim = architecture.embed_dim
        self.with_embedding = with_embedding
        self.with_cp = with_cp
        self.frozen_stages = frozen_stages
        self.stride = self._stride(architecture.tower)
        self.grid_size = self._grid(*height_and_width(input_size))
        self.tower = self._build_tower(architecture, self.grid_size)
        self._register_state_dict_hook(_save_grid)
        self._register_load_state_dict_pre_hook(self._match_checkpoint)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        if height % self.stride or width % self.stride or min(height, width) < self.stride:
            raise ValueError(f'input_size (W, H) = ({width}, {height}) must be a positive multiple of the stride '
                             f'{self.stride} of {type(self).__name__}')
        return height // self.stride, width // self.stride

    def _match_checkpoint(self, state_dict: dict, prefix: str, local_metadata: dict, *args) -> None:
        """Resizes the position table of a checkpoint, and refuses the backbone of another model.

        MMEngine only warns of weights that do not fit, and would go on with random ones.
        """
        given = {key[len(prefix):]: value for key, value in state_dict.items() if key.startswith(prefix)}
        own = dict(self.named_parameters())
        table, target = given.get(self._position_key), own.get(self._position_key)
        if table is not None and target is not None and table.shape[1:] == target.shape[1:]:
            source_grid = local_metadata.get('grid_size')
            if source_grid is not None or len(table) != len(target):
                table = resize_position_table(table, self.grid_size, source_grid=source_grid)
                given[self._position_key] = state_dict[prefix + self._position_key] = table
        strangers = [key for key in own.keys() & given.keys() if own[key].shape != given[key].shape]
        # A missing block would stay random, one too many would be lost; what the embedding needs may differ.
        if given:
            strangers += [key for key in own if _in_block(key) and key not in given]
        if self.with_embedding:
            states = dict(self.named_buffers())
            strangers += [key for key in given if _in_block(key) and key not in own and key not in states]
        if strangers or (given and not own.keys() & given.keys()):
            key = min(strangers or given)
            there, here = (tuple(side[key].shape) if key in side else 'no such weight' for side in (given, own))
            raise ValueError(f'the checkpoint holds a backbone of another architecture than {type(self).__name__} '
                             f"arch='{self.arch_name}': {prefix}{key} is {there} there, {here} here")

    def _freeze(self) -> None:
        """Freezes the first ``frozen_stages + 1`` of the stages; -1 freezes none."""
        count = len(self._stages())
        if not -1 <= self.frozen_stages < count:
            raise ValueError(f'frozen_stages={self.frozen_stages} must be in [-1, {count - 1}]')
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def _frozen_parts(self) -> list[nn.Module | Tensor]:
        # Looked up every time: MMEngine's sync_bn puts other modules in the place of batch norm.
        return [part for stage in self._stages()[:self.frozen_stages + 1] for part in stage]

    def _stages(self) -> list[list[nn.Module | Tensor]]:
        """The modules and parameters of the stem, then those of each stage."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> CLIPBackbone:
        super().train(mode)
        for part in self._frozen_parts():
            if isinstance(part, nn.Module):
                part.eval()
        return self


def _in_block(key: str) -> bool:
    """Whether a weight belongs to a transformer block or a residual stage."""
    return key.startswith(('tower.transformer.resblocks.', 'tower.layer'))


def _save_grid(module: CLIPBackbone, state_dict: dict, prefix: str, local_metadata: dict) -> None:
    local_metadata['grid_size'] = module.grid_size
