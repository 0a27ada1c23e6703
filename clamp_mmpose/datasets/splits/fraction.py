from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from .coco_file import CocoFile, same_picture
from .draw import draw
from .split_file import SplitFile, count, provenance


class FractionDraw:
    """Draws shares of a training file by pictures, the low-data protocol of CLAMP's Table 11.

    The share is of the pictures with at least one usable instance, those that MMPose trains on: of the pictures of
    COCO's train2017, fewer than half. A drawn picture keeps all its annotations. With one seed, a larger share contains
    a smaller one. Pictures that ``test`` lists too are never drawn.
    """

    def __init__(self, train: CocoFile, test: CocoFile | None = None) -> None:
        self.train, self.test = train, test
        tested = {same_picture(image) for image in test.images.values()} if test else set()
        usable = {annotation['image_id'] for annotation in train.usable()}
        self.pictures = [key for key in usable if same_picture(train.images[key]) not in tested]
        self.num_shared = len(usable) - len(self.pictures)
        if not self.pictures:
            raise ValueError(f'{train.name} has no picture with labelled keypoints to draw from' + (
                f': all {self.num_shared} are in {test.name} too' if self.num_shared else ''))

    def draw(self, percent: str, seed: int) -> SplitFile:
        """percent: a number in (0, 100], written as it should stand in the file's name. At least one picture."""
        share = parse_percent(percent)
        number = int((len(self.pictures) * share / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
        chosen = set(draw(self.pictures, max(number, 1), seed=seed, protocol='fraction'))
        train = self.train
        images = [image for key, image in train.images.items() if key in chosen]
        annotations = [a for a in train.annotations.values() if a['image_id'] in chosen]
        about = provenance(
            'fraction', [file.source for file in (train, self.test) if file],
            dict(percent=percent_text(share), seed=seed),
            counts=count(train, images, annotations),
            drawn_from=dict(pictures=len(train.images), with_usable_instances=len(self.pictures)),
            left_out=dict(pictures_of_the_test_file=self.num_shared))
        return SplitFile(f'{train.stem}_{percent_text(share)}pct-seed{seed}.json', train, images, annotations, about)

    def remarks(self) -> list:
        found = []
        if self.num_shared:
            found.append(f'{self.num_shared} pictures that are in {self.test.name} too are never drawn')
        if self.test is None:
            found.append('no --val-ann was given to compare the pictures with')
        return found


def parse_percent(text) -> Decimal:
    try:
        share = Decimal(str(text))
    except InvalidOperation:
        share = Decimal('NaN')
    if not share.is_finite() or not 0 < share <= 100:
        raise ValueError(f'percent={text} must be a number above 0, and at most 100')
    return share


def percent_text(share: Decimal) -> str:
    """'0.5', '10': no zeros that say nothing."""
    text = f'{share:f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text
