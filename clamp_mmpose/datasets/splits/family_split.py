from __future__ import annotations

from dataclasses import dataclass

from .coco_file import CocoFile, same_picture
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

    The training file keeps the annotations of ``train_names``, without the pictures that show a test animal, whether
    annotated with keypoints or not, and without the pictures of the test file. The test file keeps the annotations of
    ``test_names``. ``pool``: test on all pictures of these files, which may include ``train``, instead of those of
    ``test``; they belong to the test then. The paper does not say which of the two it does.

    Raises ValueError for unknown names, when the two sides share a species, when they share a family and ``by`` is not
    'species', and when a side is left without a usable instance.
    """
    sources = {file.sha256: file for file in [train, *(pool or [test])]}
    taxonomy = Taxonomy(list(sources.values()))
    learnt, unseen = (taxonomy.find(name, names, by) for name, names in (('train', train_names), ('test', test_names)))
    remarks = _check_apart(learnt, unseen, taxonomy, by)

    tested = merge(pool, pool_stem) if pool else test
    annotations = [a for a in tested.annotations.values() if a['category_id'] in unseen.category_ids]
    images = _images_of(tested, annotations)
    tested_pictures = {same_picture(image) for image in images}

    shown = {}
    for annotation in train.annotations.values():
        shown.setdefault(annotation['image_id'], set()).add(annotation['category_id'])
    kept, mixed, shared = [], set(), set()
    for annotation in train.annotations.values():
        if annotation['category_id'] in learnt.category_ids:
            image = annotation['image_id']
            if shown[image] & unseen.category_ids:
                mixed.add(image)
            elif same_picture(train.images[image]) in tested_pictures:
                shared.add(image)
            else:
                kept.append(annotation)
    train_images = _images_of(train, kept)
    if mixed:
        remarks.append(f'{len(mixed)} pictures that show animals of both sides are not trained on')
    if shared:
        remarks.append(f'{len(shared)} pictures that are in the test file too are not trained on')

    counts = dict(train=count(train, train_images, kept), test=count(tested, images, annotations))
    for argument, group, part, file in (('train', learnt, 'train', train), ('test', unseen, 'test', tested)):
        if not counts[part]['usable_instances']:
            raise ValueError(f'{argument}={", ".join(group.names)} has no instance with labelled keypoints left in '
                             f'{file.name}{"; " + "; ".join(remarks) if remarks else ""}')
        remarks += _without_instances(argument, group, counts[part], taxonomy)
    arguments = dict(train=list(learnt.names), test=list(unseen.names), by=by, test_images='all' if pool else 'val')
    about = provenance('family', [file.source for file in sources.values()], arguments, counts=counts,
                       left_out=dict(pictures_of_both_sides=len(mixed), pictures_of_the_test_file=len(shared)))
    return FamilySplit(
        SplitFile(f'{train.stem}_{learnt.suffix}.json', train, train_images, kept, dict(about, part='train')),
        SplitFile(f'{tested.stem}_{unseen.suffix}.json', tested, images, annotations, dict(about, part='test')),
        remarks)


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
