"""The kinds of toy data: what is drawn, and which annotation files describe it."""
from __future__ import annotations

from collections import Counter
from pathlib import Path

from .animal_scene import draw_animal_scene
from .annotations import write_ap10k, write_coco, write_mpii, write_mpii_ground_truth, write_tags
from .keypoint_formats import AP10K_CATEGORY_IDS, COCO_KEYPOINTS
from .person_pose import POSTURES
from .person_scene import draw_person_scene
from .person_windows import tagged_windows, windows_to_test
from .scene import Scene
from .species import SPECIES

SPLITS = ('train', 'val')


class Animals:
    """Quadrupeds of many species, in AP-10K's format."""
    num_subjects = len(SPECIES)
    annotation_files = tuple(f'ap10k-{split}-split1.json' for split in SPLITS)

    def draw(self, layout, paint, *, subject: int) -> Scene:
        return draw_animal_scene(layout, paint, SPECIES[subject])

    def write(self, folder: Path, split: str, images: list, scenes: list) -> dict:
        annotations = [dict(image_id=image['id'], **annotation)
                       for image, scene in zip(images, scenes) for annotation in scene.annotations]
        images = [dict(image, background=scene.place) for image, scene in zip(images, scenes)]
        write_ap10k(folder / f'ap10k-{split}-split1.json', images, annotations)
        counts = Counter(annotation['category_id'] for annotation in annotations)
        return {name: counts[number] for name, number in AP10K_CATEGORY_IDS.items() if counts[number]}


class People:
    """People in many postures, in COCO's and in MPII's format; and windows on them, to learn from without locations."""
    num_subjects = len(POSTURES)
    annotation_files = (*(f'person_keypoints_{split}.json' for split in SPLITS),
                        *(f'mpii_{split}.json' for split in SPLITS), 'mpii_gt_val.mat',
                        'window_tags_train.csv', 'person_windows_val.json')

    def draw(self, layout, paint, *, subject: int) -> Scene:
        return draw_person_scene(layout, paint, POSTURES[subject])

    def write(self, folder: Path, split: str, images: list, scenes: list) -> dict:
        people = [dict(person, image_id=image['id'], file_name=image['file_name'])
                  for image, scene in zip(images, scenes) for person in scene.annotations]
        write_coco(folder / f'person_keypoints_{split}.json', images, people)
        write_mpii(folder / f'mpii_{split}.json', people)
        sizes = {image['id']: (image['width'], image['height']) for image in images}
        if split == 'train':
            groups = {}
            for person in people:
                groups.setdefault(person['image_id'], []).append(person)
            write_tags(folder / 'window_tags_train.csv', (
                row for person in people for row in tagged_windows(
                    person, groups[person['image_id']], COCO_KEYPOINTS, sizes[person['image_id']])))
        else:
            write_mpii_ground_truth(folder / 'mpii_gt_val.mat', people)
            write_coco(folder / 'person_windows_val.json', images, [
                window for person in people for window in windows_to_test(person, sizes[person['image_id']], number=2)])
        return dict(person=len(people))


KINDS = dict(animals=Animals(), people=People())
