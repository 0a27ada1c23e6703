from __future__ import annotations

from pathlib import Path

from clamp_mmpose.datasets.splits import CocoFile, SplitFile, write_files


def write_and_report(files: list[SplitFile], folder: Path, *, force: bool, remarks: list[str],
                     sources: list[CocoFile]) -> None:
    """Writes the files, then prints what each holds and what a reader should know."""
    paths = {folder / file.name: file for file in files}
    states = write_files({path: file.encode() for path, file in paths.items()}, force=force)
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
    for remark in remarks:
        print(f'note: {remark}')


def _table(file: SplitFile, counts: dict) -> list[str]:
    """One line per family: its instances, then its species and theirs."""
    families = {}
    for category in file.like.categories.values():
        name = str(category['name'])
        if counts['species'].get(name):
            species = families.setdefault(str(category.get('supercategory') or 'no family'), [])
            species.append(f'{name} {counts["species"][name]}')
    width = max(map(len, families), default=0)
    return [f'{name:<{width}}  {counts["families"][name]:>6}  {", ".join(dict.fromkeys(species))}'
            for name, species in sorted(families.items())]
