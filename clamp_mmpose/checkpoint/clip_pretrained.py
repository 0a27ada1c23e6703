from __future__ import annotations

import logging
import os
from pathlib import Path

from mmengine import dist
from mmengine.logging import print_log
from mmengine.model.weight_init import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from .clip_files import CLIPFile, read_clip_file
from .clip_loading import PARTS, load_clip_tower
from .clip_towers import tower_shape
from .safe_loading import CheckpointError, download, first_line

WEIGHT_SUFFIXES = ('.pt', '.pth', '.bin', '.safetensors')


# In the root registry, so that `type='CLIPPretrained'` is found under any default scope.
@WEIGHT_INITIALIZERS.register_module()
class CLIPPretrained:
    """Initializes an image or text tower from CLIP weights: ``init_cfg=dict(type='CLIPPretrained', checkpoint=...)``.

    Logs what was loaded, resized, missing and left over. No file is trusted: TorchScript archives are read without
    their program, and pickles with ``weights_only``.

    Args:
        checkpoint: an archive of OpenAI (RN50.pt), a state dict of open_clip (.pt, .bin, .safetensors; a checkpoint of
            its training too), a folder of Hugging Face with a CLIP model, the http(s) address of a file, or a tag of
            open_clip such as 'openai' or 'laion2b_s34b_b88k', which is downloaded for the module's arch.
        allow_missing: accepts a file that lacks tensors of the tower; they stay as they were initialized.
    """

    def __init__(self, checkpoint: str, *, allow_missing: bool = False) -> None:
        if not isinstance(checkpoint, (str, os.PathLike)) or not str(checkpoint):
            raise ValueError(f'checkpoint={checkpoint!r} of CLIPPretrained must be a path, an address or a tag')
        self.checkpoint = str(checkpoint)
        self.allow_missing = allow_missing

    def __call__(self, module: nn.Module) -> None:
        part = getattr(module, 'clip_part', None)
        if part not in PARTS:
            raise ValueError("init_cfg=dict(type='CLIPPretrained') belongs to CLIPResNet, CLIPVisionTransformer or "
                             f'CLIPTextEncoder, not to {type(module).__name__}')
        path, tag_quick_gelu = self._locate(getattr(module, 'arch_name', None))
        file = read_clip_file(path)
        report = load_clip_tower(module, file, allow_missing=self.allow_missing)
        print_log(f'CLIP {PARTS[part]} tower of {type(module).__name__} from {path} ({file.format}): {report}',
                  logger='current', level=logging.WARNING if report.missing and self.allow_missing else logging.INFO)
        trained = file.quick_gelu[part] if tag_quick_gelu is None else tag_quick_gelu
        self._compare_activation(module, file, trained)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'CLIPPretrained: load from {self.checkpoint}')

    def _locate(self, arch_name: str | None) -> tuple[Path, bool | None]:
        """The file or folder of ``checkpoint`` and, for a tag, whether its model was trained with QuickGELU."""
        if str(self.checkpoint).startswith(('http://', 'https://')):
            return self._fetch(download, self.checkpoint), None
        path = Path(self.checkpoint).expanduser()
        if path.exists():
            return path, None
        if path.suffix in WEIGHT_SUFFIXES or any(separator in self.checkpoint for separator in '/\\'):
            raise FileNotFoundError(f"checkpoint='{self.checkpoint}' does not exist")
        return self._locate_tag(arch_name)

    def _locate_tag(self, arch_name: str | None) -> tuple[Path, bool | None]:
        from open_clip import pretrained
        if arch_name is None:
            raise ValueError(f"checkpoint='{self.checkpoint}' is no file or folder, and a tag of open_clip needs an "
                             'arch given by name')
        base = arch_name[:-len('-quickgelu')] if arch_name.endswith('-quickgelu') else arch_name
        config = pretrained.get_pretrained_cfg(base, self.checkpoint)
        if not config:
            tags = pretrained.list_pretrained_tags_by_model(base)
            raise ValueError(f"checkpoint='{self.checkpoint}' is no file or folder, nor a tag that open_clip has for "
                             f"'{base}'; its tags are {', '.join(tags) or 'none'}")
        return self._fetch(_download_tag, config), bool(config.get('quick_gelu', False))

    def _fetch(self, fetch, source: str | dict) -> Path:
        try:
            return fetch(source)
        except Exception as error:
            address = source if isinstance(source, str) else source.get('url') or source.get('hf_hub')
            raise CheckpointError(
                f"checkpoint='{self.checkpoint}' could not be downloaded from {address}: {first_line(error)}. "
                'Without a network, get the file elsewhere and give its path as checkpoint.') from error

    def _compare_activation(self, module: nn.Module, file: CLIPFile, trained: bool | None) -> None:
        own = getattr(module, 'quick_gelu', None)
        without_gelu = module.clip_part == 'visual' and 'ResNet' in tower_shape(file.tower('visual')).kind
        if trained is None or own is None or trained == own or without_gelu:
            return
        arch = getattr(module, 'arch_name', None) or '...'
        base = arch[:-len('-quickgelu')] if arch.endswith('-quickgelu') else arch
        better = f"arch='{base}-quickgelu' or quick_gelu=True" if trained else f"arch='{base}' or quick_gelu=False"
        activations = {True: 'QuickGELU', False: 'GELU'}
        print_log(
            f'{self.checkpoint} was trained with {activations[trained]}, but {type(module).__name__} runs with '
            f'{activations[own]}: its features will be off. Use {better}.', logger='current', level=logging.WARNING)


def _download_tag(config: dict) -> Path:
    """Downloads through open_clip into its own cache, on one process per machine first."""
    from open_clip.pretrained import download_pretrained
    try:
        if dist.get_local_rank() == 0:
            return Path(download_pretrained(config))
    finally:
        dist.barrier()
    return Path(download_pretrained(config))
