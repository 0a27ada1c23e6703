"""Names, skeletons and categories of the annotation formats that the toy data is written in."""
from __future__ import annotations

AP10K_KEYPOINTS = (
    'left_eye', 'right_eye', 'nose', 'neck', 'root_of_tail', 'left_shoulder', 'left_elbow', 'left_front_paw',
    'right_shoulder', 'right_elbow', 'right_front_paw', 'left_hip', 'left_knee', 'left_back_paw', 'right_hip',
    'right_knee', 'right_back_paw')

# Pairs of 1-based keypoint numbers, as in the released files.
AP10K_SKELETON = ((1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (4, 6), (6, 7), (7, 8), (4, 9), (9, 10), (10, 11), (5, 12),
                  (12, 13), (13, 14), (5, 15), (15, 16), (16, 17))

# In the order of AP-10K's category ids, 1 to 54.
AP10K_FAMILIES = {
    'Bovidae': ('antelope', 'argali sheep', 'bison', 'buffalo', 'cow', 'sheep'),
    'Canidae': ('arctic fox', 'dog', 'fox', 'wolf'),
    'Castoridae': ('beaver', ),
    'Cercopithecidae': ('alouatta', 'monkey', 'noisy night monkey', 'spider monkey', 'uakari'),
    'Cervidae': ('deer', 'moose'),
    'Cricetidae': ('hamster', ),
    'Elephantidae': ('elephant', ),
    'Equidae': ('horse', 'zebra'),
    'Felidae': ('bobcat', 'cat', 'cheetah', 'jaguar', 'king cheetah', 'leopard', 'lion', 'panther', 'snow leopard',
                'tiger'),
    'Giraffidae': ('giraffe', ),
    'Hippopotamidae': ('hippo', ),
    'Hominidae': ('chimpanzee', 'gorilla', 'orangutan'),
    'Leporidae': ('rabbit', ),
    'Mephitidae': ('skunk', ),
    'Muridae': ('mouse', 'rat'),
    'Mustelidae': ('otter', 'weasel'),
    'Procyonidae': ('raccoon', ),
    'Rhinocerotidae': ('rhino', ),
    'Sciuridae': ('marmot', 'squirrel'),
    'Suidae': ('pig', ),
    'Talpidae': ('mole', ),
    'Ursidae': ('black bear', 'brown bear', 'panda', 'polar bear'),
    'Vespertilionidae': ('bat', ),
}

COCO_KEYPOINTS = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
                  'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
                  'right_knee', 'left_ankle', 'right_ankle')

COCO_SKELETON = ((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10),
                 (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7))

MPII_KEYPOINTS = ('right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle', 'pelvis', 'thorax',
                  'upper_neck', 'head_top', 'right_wrist', 'right_elbow', 'right_shoulder', 'left_shoulder',
                  'left_elbow', 'left_wrist')

# Pairs of 1-based keypoint numbers.
MPII_SKELETON = ((1, 2), (2, 3), (3, 7), (7, 4), (4, 5), (5, 6), (7, 8), (8, 9), (9, 10), (8, 13), (13, 12), (12, 11),
                 (8, 14), (14, 15), (15, 16))


def _numbered_species() -> list:
    pairs = [(name, family) for family, names in AP10K_FAMILIES.items() for name in names]
    return [(number, name, family) for number, (name, family) in enumerate(pairs, start=1)]


AP10K_CATEGORY_IDS = {name: number for number, name, _ in _numbered_species()}


def ap10k_categories() -> list:
    """All 54 categories of AP-10K, as dicts with id, name, family, keypoint names and skeleton."""
    return [
        dict(
            id=number,
            name=name,
            supercategory=family,
            keypoints=list(AP10K_KEYPOINTS),
            skeleton=[list(pair) for pair in AP10K_SKELETON]) for number, name, family in _numbered_species()
    ]


def coco_categories() -> list:
    """The one category of COCO's person keypoints."""
    return [
        dict(
            supercategory='person',
            id=1,
            name='person',
            keypoints=list(COCO_KEYPOINTS),
            skeleton=[list(pair) for pair in COCO_SKELETON])
    ]
