"""The kinds of toy data: what is drawn, and which annotation files describe it."""
from __future__ import annotations

from collections import Counter
from pathlib import Path

from .animal_scene import draw_animal_scene
from .annotations import write_ap10k
from .keypoint_formats import AP10K_CATEGORY_IDS
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


KINDS = dict(animals=Animals())
