from __future__ import annotations

from .coco_file import CocoFile, same_picture
from .draw import draw
from .split_file import SplitFile, count, provenance


def few_shot(train: CocoFile, *, shots: int, seed: int, test: CocoFile | None = None) -> tuple[SplitFile, list]:
    """``shots`` instances of each species to train on, CLAMP Table 2; all of them where a species has fewer.

    Only instances with labelled keypoints are drawn. Of a drawn picture, the instances that were not drawn are left
    out, so that a species is not learnt from more than it was given: made for top-down training, where the rest of a
    picture is no background. Pictures that ``test`` lists too are never drawn. The test is the whole of that file.

    Returns the file and the remarks for its reader. Raises ValueError when nothing can be drawn.
    """
    if shots < 1:
        raise ValueError(f'shots={shots} must be at least 1')
    tested = {same_picture(image) for image in test.images.values()} if test else set()
    species, shared = {}, set()
    for annotation in train.usable():
        image = train.images[annotation['image_id']]
        if same_picture(image) in tested:
            shared.add(image['id'])
        else:
            species.setdefault(annotation['category_id'], []).append(annotation['id'])
    drawn = {key: draw(ids, shots, seed=seed, protocol='few-shot') for key, ids in species.items()}
    chosen = {key for ids in drawn.values() for key in ids}
    if not chosen:
        raise ValueError(f'{train.name} has no instance with labelled keypoints to draw from' + (
            f': all {len(shared)} such pictures are in {test.name} too' if shared else ''))
    annotations = [annotation for key, annotation in train.annotations.items() if key in chosen]
    wanted = {annotation['image_id'] for annotation in annotations}
    images = [image for key, image in train.images.items() if key in wanted]
    others = sum(a['image_id'] in wanted for a in train.annotations.values()) - len(annotations)

    names = {key: str(category['name']) for key, category in train.categories.items()}
    scarce = {names.get(key, f'category {key}'): len(ids) for key, ids in drawn.items() if len(ids) < shots}
    absent = sorted(name for key, name in names.items() if key not in drawn)
    remarks = []
    if scarce:
        listed = ', '.join(f'{name} {number}' for name, number in sorted(scarce.items()))
        remarks.append(f'{len(scarce)} species have fewer than {shots} usable instances and give all: {listed}')
    if absent:
        remarks.append(f'{len(absent)} species have none: {", ".join(absent)}')
    if others:
        remarks.append(f'{others} other instances of the drawn pictures are left out')
    if shared:
        remarks.append(f'{len(shared)} pictures that are in {test.name} too are never drawn')
    if test is None:
        remarks.append('no test file was given to compare the pictures with')
    about = provenance(
        'few-shot', [file.source for file in (train, test) if file], dict(shots=shots, seed=seed),
        counts=count(train, images, annotations),
        fewer_than_asked=dict(sorted(scarce.items())), without_instances=absent,
        left_out=dict(other_instances_of_drawn_pictures=others, pictures_of_the_test_file=len(shared)))
    return SplitFile(f'{train.stem}_{shots}shot-seed{seed}.json', train, images, annotations, about), remarks
