from __future__ import annotations

from dataclasses import dataclass

from .coco_file import CocoFile, in_order, plural, same_picture
from .groups import Group, Taxonomy
from .merge import merge
from .split_file import SplitFile, count, provenance


@dataclass(frozen=True)
class FamilySplit:
    """The two files of a zero-shot protocol, and what a reader should know about them."""
    train: SplitFile
    test: SplitFile
    remarks: list


def split_by_family(train: CocoFile, test: CocoFile, *, train_names: list, test_names: list, by: str | None = None,
                    pool: list | None = None, pool_stem: str = '') -> FamilySplit:
    """Trains on some families or species and tests on others that training has not seen, CLAMP Tables 3 and 10.

    The training file keeps the pictures whose annotated animals are all of ``train_names``, so that it neither shares a
    picture with the test, nor shows an animal of it, whatever is tested: one training file serves several tests. The
    test file keeps the annotations of ``test_names`` and their pictures, whatever else these show.

    ``pool``: tests on all pictures of these files, which may include ``train``, instead of those of ``test``. The paper
    does not say which of the two it does.

    Raises ValueError for unknown names, when the two sides share a species, when they share a family and ``by`` is not
    'species', and when a side is left without a usable instance.
    """
    taxonomy = Taxonomy([train, test, *(pool or [])])
    learnt, unseen = (taxonomy.find(name, names, by) for name, names in (('train', train_names), ('test', test_names)))
    remarks = _check_apart(learnt, unseen, taxonomy, by)

    tested = merge(pool, pool_stem) if pool else test
    test_annotations = [a for a in tested.annotations.values() if a['category_id'] in unseen.category_ids]
    test_images = _images_of(tested, test_annotations)
    tested_pictures = {same_picture(image) for image in test_images}

    train_annotations, mixed, shared = [], 0, 0
    for key, instances in train.by_image().items():
        shown = {annotation['category_id'] for annotation in instances}
        if not shown & learnt.category_ids:
            continue
        if not shown <= learnt.category_ids:
            mixed += 1
        elif same_picture(train.images[key]) in tested_pictures:
            shared += 1
        else:
            train_annotations += instances
    train_annotations = in_order(train_annotations)
    if mixed:
        remarks.append(f'{mixed} {plural("picture", mixed)} of {train.name} not trained on: other animals are in them')
    if shared:
        remarks.append(f'{shared} {plural("picture", shared)} of {train.name} not trained on: the test has them too')

    # Each file tells of its own side alone, so that it is the same file in every pair.
    files = [
        _side('train', train, learnt, _images_of(train, train_annotations), train_annotations, [train], dict(
            left_out=dict(pictures_with_other_animals=mixed, pictures_of_the_test_file=shared))),
        _side('test', tested, unseen, test_images, test_annotations, pool or [test], dict(
            test_images='all' if pool else 'val')),
    ]
    for file, group in zip(files, (learnt, unseen)):
        part, counts = file.provenance['part'], file.provenance['counts']
        if not counts['usable_instances']:
            raise ValueError(f'{part}={", ".join(group.names)} has no instance with labelled keypoints in '
                             f'{file.like.name}{"".join(f"; {remark}" for remark in remarks)}')
        remarks += _without_instances(part, group, counts, taxonomy)
    return FamilySplit(*files, remarks)


def _side(part: str, file: CocoFile, group: Group, images: list, annotations: list, sources: list,
          more: dict) -> SplitFile:
    about = provenance('family', [source.source for source in sources], {part: list(group.names)}, part=part, **more,
                       counts=count(file, images, annotations))
    return SplitFile(f'{file.stem}_{group.suffix}.json', file, images, annotations, about)


def _check_apart(learnt: Group, unseen: Group, taxonomy: Taxonomy, by: str | None) -> list:
    sides = f'train={", ".join(learnt.names)} and test={", ".join(unseen.names)}'
    both = sorted(taxonomy.species_of[key] for key in learnt.category_ids & unseen.category_ids)
    if both:
        raise ValueError(f'{sides} overlap: {", ".join(both)}')
    families = sorted(taxonomy.families(learnt.category_ids) & taxonomy.families(unseen.category_ids))
    if families and by != 'species':
        raise ValueError(f'{sides} have species of the same family, {", ".join(families)}: use --by species if this is '
                         'wanted')
    return [f'both sides have species of {", ".join(families)}'] if families else []


def _without_instances(argument: str, group: Group, counts: dict, taxonomy: Taxonomy) -> list:
    """Families and species that were asked for but bring nothing."""
    missing = [f'{argument}: no usable instance of the family {name}'
               for name in sorted(taxonomy.families(group.category_ids) - set(counts['families']))]
    species = sorted({taxonomy.species_of[key] for key in group.category_ids} - set(counts['species']))
    return missing + ([f'{argument}: no usable instance of {", ".join(species)}'] if species else [])


def _images_of(file: CocoFile, annotations: list) -> list:
    wanted = {annotation['image_id'] for annotation in annotations}
    return [image for key, image in file.images.items() if key in wanted]
