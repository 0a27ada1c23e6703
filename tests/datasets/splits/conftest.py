import json

import pytest

FAMILIES = {
    'Bovidae': ['cow', 'sheep'],
    'Canidae': ['arctic fox', 'dog', 'wolf'],
    'Felidae': ['cat', 'king cheetah'],
}
SPECIES = [name for names in FAMILIES.values() for name in names]


class Annotations:
    """A COCO-style file in the making: one picture per call of ``add``, with the animals that it is given."""

    def __init__(self, first_id=1, num_keypoints=17):
        self.first_id, self.num_keypoints = first_id, num_keypoints
        self.content = dict(
            info=dict(description='test'), licenses=[],
            images=[], annotations=[],
            categories=[dict(id=number, name=name, supercategory=family) for number, (name, family) in enumerate(
                ((name, family) for family, names in FAMILIES.items() for name in names), start=1)])

    def add(self, *species, file_name=None, **changes):
        image_id = self.first_id + len(self.content['images'])
        self.content['images'].append(dict(
            id=image_id, file_name=file_name or f'{image_id:06d}.jpg', width=100, height=80))
        for name in species:
            number = self.first_id + len(self.content['annotations'])
            self.content['annotations'].append(dict(dict(
                id=number, image_id=image_id, category_id=1 + SPECIES.index(name), bbox=[10, 10, 50, 40], area=2000,
                iscrowd=0, num_keypoints=self.num_keypoints,
                keypoints=[value for index in range(self.num_keypoints) for value in (11 + index, 12 + index, 2)]),
                **changes))
        return image_id

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content))
        return path


@pytest.fixture
def train():
    """Several pictures of every species but the arctic fox, of one animal each."""
    made = Annotations()
    for name in SPECIES:
        for _ in range(0 if name == 'arctic fox' else 6):
            made.add(name)
    return made


@pytest.fixture
def val():
    made = Annotations(first_id=1001)
    for name in SPECIES:
        for _ in range(0 if name == 'arctic fox' else 2):
            made.add(name)
    return made


@pytest.fixture
def read(tmp_path):
    """Annotations -> what the protocols read."""
    from clamp_mmpose.datasets.splits import read_coco

    def read(made, name='ap10k-train-split1.json'):
        return read_coco(made.write(tmp_path / 'source' / name))

    return read
