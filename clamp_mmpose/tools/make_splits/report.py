from __future__ import annotations

from pathlib import Path

from clamp_mmpose.datasets.splits import CocoFile, SplitFile, write_files


def write_and_report(files: list[tuple[Path, SplitFile]], *, force: bool, remarks: list[str],
                     sources: list[CocoFile], texts: dict[Path, str] | None = None) -> None:
    """Writes the files into their folders, and the texts; then prints what each holds and what a reader should know."""
    texts = texts or {}
    paths = {folder / file.name: file for folder, file in files}
    if len(paths) < len(files):
        raise ValueError(f'two of the files would be one: {", ".join(file.name for _, file in files)}')
    states = write_files({**{path: text.encode() for path, text in texts.items()},
                          **{path: file.encode() for path, file in paths.items()}}, force=force)
    for path in texts:
        print(f'{path}: {states[path]}')
    for path, file in paths.items():
        counts = file.provenance['counts']
        print(f'{path}: {states[path]}')
        print(f'  {counts["images"]} pictures, {counts["instances"]} instances, {counts["usable_instances"]} of them '
              'with labelled keypoints')
        for line in _table(file, counts):
            print(f'  {line}')
    for source in sources:
        for what, number in source.notes.items():
            remarks = [*remarks, f'{source.name}: {number} {what} left out']
    if any(file.is_numbered_anew for _, file in files):
        remarks = [*remarks, 'ids that are texts are numbered anew: MMPose reads numbers only']
    for remark in remarks:
        print(f'note: {remark}')


def _table(file: SplitFile, counts: dict) -> list[str]:
    """One line per family: its instances, then its species and theirs, together where two families have one name."""
    families = {}
    for category in file.like.categories.values():
        name = str(category['name'])
        if counts['species'].get(name):
            species = families.setdefault(str(category.get('supercategory') or 'no family'), [])
            species.append(f'{name} {counts["species"][name]}')
    width = max(map(len, families), default=0)
    return [f'{name:<{width}}  {counts["families"][name]:>6}  {", ".join(dict.fromkeys(species))}'
            for name, species in sorted(families.items()) if name in counts['families']]
