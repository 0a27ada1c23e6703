"""From the authors' checkpoints to ours: every tensor finds its place, or the file is refused."""
from __future__ import annotations

import dataclasses
import math

import torch
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from torch import Tensor, nn

from .clip_towers import tower_shape
from .conversion_report import ConversionReport
from .released_file import ReleasedFile
from .released_names import AP10K_NAMES, DETECTION_PARTS, DROPPED, NOT_IN_CONFIG, NOT_IN_FILE, RENAMED, longest_match
from .released_options import compare_options
from .safe_loading import CheckpointError, first_line

BACKBONE, TEXT = 'backbone.tower.', 'neck.prompts.text_encoder.tower.'
# Resized when they are loaded; all else must have the same shape.
IMAGE_TABLES = (f'{BACKBONE}positional_embedding', f'{BACKBONE}attnpool.positional_embedding')
TEXT_TABLE = f'{TEXT}positional_embedding'
EMBEDDING = 'neck.prompts.embedding'
CLASS_EMBEDDING = f'{BACKBONE}class_embedding'


@dataclasses.dataclass(frozen=True)
class Conversion:
    state_dict: dict[str, Tensor]
    report: ConversionReport


def convert_released(file: ReleasedFile, model: nn.Module, *, ignore: tuple[str, ...] = ()) -> Conversion:
    """Loads ``file`` into ``model``, of a config of ours, and returns the state dict that this model has then.

    ``ignore`` are beginnings of released names to leave out. Raises ``CheckpointError`` with everything that does not
    fit: another architecture, another number of names, tensors that are missing, unknown or not finite, and options of
    the model that would give other outputs than the released model's (see ``released_options``).
    """
    _check_model(file, model)
    own = model.state_dict()
    renamed, dropped = _rename(file, own, ignore)
    new_names = {target: name for name, target in renamed.items()}
    missing = _missing(file, own, new_names)
    differences = compare_options(file, model)
    problems = [*_wrong_towers(file, model), *_wrong_names(file, model, renamed)]
    # A wrong architecture explains every shape that differs.
    unknown = [name for name in file.tensors if name not in dropped and renamed.get(name) not in own]
    problems = problems or _wrong_tensors(file, own, new_names, missing, unknown)
    fatal = [str(difference) for difference in differences if difference.fatal]
    if fatal:
        problems += [*fatal, "configs with '-released' in their names have the released options"]
    if problems:
        raise CheckpointError(f'{file.path} ({file}) does not fit the config: ' + '; '.join(problems))

    weights = {target: file.tensors[name] for target, name in new_names.items()}
    notes = [*file.notes, *_precision(file, renamed), *_add_class_embedding_twice(weights, model)]
    state_dict = _load(file, model, weights, missing)
    report = ConversionReport(
        source=file.path,
        description=str(file),
        renamed=renamed,
        resized={target: (tuple(file.tensors[name].shape), tuple(state_dict[target].shape))
                 for target, name in new_names.items() if file.tensors[name].shape != state_dict[target].shape},
        dropped=dropped,
        missing={name: reason for name, reason in missing.items() if reason},
        added={name: 'computed from the text tower and the names of the config' if name == EMBEDDING else 'starts at 0'
               for name in state_dict if name not in new_names},
        notes=notes,
        warnings=[*(f'no tensor begins with {part!r}, which is to be left out' for part in ignore
                    if not any(name.startswith(part) for name in file.tensors)),
                  *_doubtful_names(file, model), *map(str, differences)])
    return Conversion(state_dict, report)


def _check_model(file: ReleasedFile, model: nn.Module) -> None:
    """Whether the config has the parts that the file's method needs at all."""
    neck, wanted = getattr(model, 'neck', None), {'CLAMP': 'PromptLearnerNeck', 'DenseCLIP': 'DenseCLIPNeck'}
    if type(neck).__name__ != wanted[file.method]:
        raise CheckpointError(f"{file.path} is a {file}, which needs a config with neck=dict(type="
                              f"'{wanted[file.method]}'); this one has "
                              f'{type(neck).__name__ if neck is not None else "none"}')
    found, wanted = ({name for name in DETECTION_PARTS if has(name)} for has in (
        lambda name: any(key.startswith(f'{name}.') for key in file.tensors),
        lambda name: getattr(model, name, None) is not None))
    if found and wanted and found != wanted:
        raise CheckpointError(f'{file.path} is a {file} with {", ".join(sorted(found))}; the detector of its config '
                              f'has {", ".join(sorted(wanted))}')
    for name, part in (('backbone', model.backbone), ('text_encoder', neck.prompts.text_encoder)):
        if not hasattr(part, 'tower'):
            raise CheckpointError(f'{file.path} is a {file}; the {name} of its config is one of CLIP, not '
                                  f'{type(part).__name__ if part is not None else "none"}')


def _rename(file: ReleasedFile, own: dict[str, Tensor], ignore: tuple[str, ...]) -> tuple[dict, dict]:
    """Released name -> ours, and released name -> why it is dropped. What fits nowhere is in neither."""
    renamed, dropped = {}, dict(file.set_aside)
    for name in file.tensors:
        if name.startswith(ignore):
            dropped[name] = 'left out on demand'
            continue
        reason = longest_match(name, DROPPED[file.method])
        rule = longest_match(name, RENAMED[file.method])
        if reason is not None:
            dropped[name] = DROPPED[file.method][reason]
        elif rule is not None:
            target = RENAMED[file.method][rule] + name[len(rule):]
            part = longest_match(target, NOT_IN_CONFIG)
            if part is not None and not any(key.startswith(part) for key in own):
                dropped[name] = NOT_IN_CONFIG[part]
            else:
                renamed[name] = target
    return renamed, dropped


def _missing(file: ReleasedFile, own: dict[str, Tensor], new_names: dict[str, str]) -> dict[str, str]:
    """Ours that the file lacks -> why that is all right; '' where it is not."""
    missing = {}
    for name in own:
        if name in new_names or name == EMBEDDING:
            continue
        part = longest_match(name, NOT_IN_FILE[file.method])
        whole = part is not None and not any(key.startswith(part) for key in new_names)
        missing[name] = NOT_IN_FILE[file.method][part] if whole else ''
    # BatchNorm's count of batches is no weight, and older files lack it.
    return {name: reason for name, reason in missing.items() if not name.endswith('num_batches_tracked') or reason}


def _wrong_towers(file: ReleasedFile, model: nn.Module) -> list[str]:
    problems = []
    for what, prefix, tower in (('backbone', 'backbone.', model.backbone.tower),
                                ('text_encoder', 'text_encoder.', model.neck.prompts.text_encoder.tower)):
        found, wanted = file.shape_of(prefix), tower_shape(tower.state_dict())
        if found is not None and wanted is not None and found != wanted:
            problems.append(f'its {what} is a {found}, that of the config a {wanted}')
    dims = file.tensors.get('text_projection')
    if dims is not None and dims.ndim == 2 and dims.shape[0] != dims.shape[1]:
        problems.append(f'its text_projection is {tuple(dims.shape)}: text and image embedding differ in width, which '
                        'this package does not have')
    return problems


def _wrong_names(file: ReleasedFile, model: nn.Module, renamed: dict[str, str]) -> list[str]:
    """K, and the order of the names, where weights depend on it."""
    names = model.neck.keypoint_names
    depends = file.method == 'CLAMP' or any(
        target.startswith(('neck.next_neck.', 'bbox_head.', 'roi_head.')) for target in renamed.values())
    count = file.num_names()
    if not depends:
        return []
    if count is not None and count != len(names):
        return [f'it was trained with {count} names, and the neck of the config has {len(names)}']
    trained = file.names() or (AP10K_NAMES if file.method == 'CLAMP' else None)
    if trained and len(trained) == len(names) and _words(trained) != _words(names) and (
            sorted(_words(trained)) == sorted(_words(names))):
        return [f'it was trained with the names in another order: {", ".join(trained)}; the config has '
                f'{", ".join(names)}']
    return []


def _doubtful_names(file: ReleasedFile, model: nn.Module) -> list[str]:
    names = model.neck.keypoint_names
    trained = file.names()
    if file.method == 'CLAMP' and trained is None and _words(names) != list(AP10K_NAMES):
        return [f'the file does not say which names it was trained with; taken are those of the config: '
                f'{", ".join(names)}']
    if trained and len(trained) == len(names) and _words(trained) != _words(names):
        pairs = [f'{there!r} there, {here!r} here' for there, here in zip(trained, names)
                 if _words([there]) != _words([here])]
        return [f'it was trained with other words: {"; ".join(pairs)}']
    return []


def _wrong_tensors(file: ReleasedFile, own: dict[str, Tensor], new_names: dict[str, str],
                   missing: dict[str, str], unknown: list[str]) -> list[str]:
    problems = []
    if unknown:
        problems.append(f'it has {_some(unknown)} that the config has no place for')
    lacking = [name for name, reason in missing.items() if not reason]
    if lacking:
        problems.append(f'it lacks {_some(lacking)} (names of ours)')
    for target, name in new_names.items():
        if target not in own:
            continue
        tensor, there, here = file.tensors[name], tuple(file.tensors[name].shape), tuple(own[target].shape)
        table = target in (*IMAGE_TABLES, TEXT_TABLE) and len(there) == 2 and there[1] == here[1]
        if table and target == TEXT_TABLE and there[0] < here[0]:
            problems.append(f'context_length={here[0]} of text_encoder, but it has text positions for {there[0]} '
                            f'tokens; use context_length={there[0]}')
        elif table and target != TEXT_TABLE and there != here and math.isqrt(max(there[0] - 1, 0))**2 != there[0] - 1:
            problems.append(f'{name} has {there[0]} rows, which no square grid has; take a config with the input_size '
                            'that it was trained at')
        elif there != here and not table:
            problems.append(f'{name} is {there}, {target} of the config {here}')
        elif tensor.is_floating_point() != own[target].is_floating_point():
            problems.append(f'{name} is {tensor.dtype}, {target} of the config {own[target].dtype}')
        elif not torch.isfinite(tensor).all():
            problems.append(f'{name} is not finite: it holds NaN or infinity')
    return problems if len(problems) < 6 else [*problems[:5], f'and {len(problems) - 5} more']


def _add_class_embedding_twice(weights: dict[str, Tensor], model: nn.Module) -> list[str]:
    """The released ViTs add it twice; a model that adds it once gets it doubled, which is the same number."""
    if CLASS_EMBEDDING not in weights or model.backbone.double_class_embedding:
        return []
    weights[CLASS_EMBEDDING] = 2 * weights[CLASS_EMBEDDING].float()
    return ['the class embedding is doubled: the released model adds it twice, that of the config once']


def _load(file: ReleasedFile, model: nn.Module, weights: dict[str, Tensor],
          missing: dict[str, str]) -> dict[str, Tensor]:
    """What ``model`` would save after loading the file, without what the file lacks."""
    try:
        found = model.load_state_dict(weights, strict=False)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f'{file.path} does not fit the config: {first_line(error)}') from error
    left = {name for name in found.missing_keys if not name.endswith('num_batches_tracked')}
    if found.unexpected_keys or left - set(missing):
        raise CheckpointError(f'{file.path} does not fit the config: {_some(found.unexpected_keys)} unexpected, '
                              f'{_some(sorted(left - set(missing)))} missing')
    for name, module in model.named_modules():
        if f'{name}.num_batches_tracked' in found.missing_keys:
            module.num_batches_tracked.zero_()
    model.eval()
    state_dict = weights_to_cpu(get_state_dict(model))
    for name in missing:
        state_dict.pop(name, None)
    return state_dict


def _precision(file: ReleasedFile, renamed: dict[str, str]) -> list[str]:
    half = [name for name in renamed if file.tensors[name].is_floating_point() and file.tensors[name].itemsize < 4]
    return [f'{len(half)} tensors in half precision become float32'] if half else []


def _words(names: list[str] | tuple[str, ...]) -> list[str]:
    return [' '.join(name.lower().replace('_', ' ').split()) for name in names]


def _some(names: list[str]) -> str:
    return f'{len(names)} tensors ({", ".join(names[:4])}{", ..." if len(names) > 4 else ""})'
