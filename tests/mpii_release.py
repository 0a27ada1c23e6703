"""Small files with the structure of mpii_human_pose_v1_u12_1.mat, oddities of the real one included."""
import numpy as np
from scipy.io import savemat

HEAD = 'x1', 'y1', 'x2', 'y2'


def point(x, y, joint, visible=1):
    """visible: 0, 1, '0', '1' (all occur), None for an empty one, or ... for a point without the field."""
    fields = dict(x=float(x), y=float(y), id=float(joint))
    if visible is ...:
        return fields
    return dict(fields, is_visible=np.zeros((0, 0)) if visible is None else visible)


def pose(offset=0., visible=1, joints=range(16)):
    """All points of a person. As in the real file, neck and head top lie off the grid and have no mark."""
    points = []
    for joint in joints:
        x, y = 100 + 10 * joint + offset, 50 + 20 * joint
        if joint in (8, 9):
            x, y, mark = x + 0.0201, y + 0.8183, None
        else:
            mark = visible[joint] if isinstance(visible, (list, dict)) else visible
        points.append(point(x, y, joint, mark))
    return points


def rectangle(points=None, *, head=(10, 20, 40, 60), objpos=(300, 200), scale=3.5):
    """One entry of annorect. points: None leaves out annopoints (as of test images), [] is an empty one."""
    fields = {}
    if head is not None:
        fields.update(zip(HEAD, map(np.uint16, head)))
    if points is not None:
        fields['annopoints'] = dict(point=structs(points)) if points else np.zeros((0, 0))
    if scale is not None:
        fields['scale'] = scale
    if objpos is not None:
        fields['objpos'] = dict(zip('xy', map(np.uint16, objpos)))
    return fields


def structs(records):
    """A 1 x N struct array, with the fields that any of the records has; where one lacks a field, it is empty."""
    names = list(dict.fromkeys(name for record in records for name in record))
    array = np.empty((1, len(records)), dtype=[(name, object) for name in names])
    for index, record in enumerate(records):
        array[0, index] = tuple(record.get(name, np.zeros((0, 0))) for name in names)
    return array


class Release:
    """Collects images, then writes the file."""

    def __init__(self, videos=('aaa', 'bbb', 'ccc', 'ddd')):
        self.videos = list(videos)
        self.images = []

    def add(self, rectangles=None, *, single=(1, ), name=None, video=1, train=1):
        """rectangles: a list, or None for no annorect. single: 1-based numbers in single_person."""
        name = name or f'{len(self.images) + 1:09d}.jpg'
        annorect = np.zeros((0, 0)) if rectangles is None else structs(rectangles)
        self.images.append(dict(name=name, annorect=annorect, single=single, video=video, train=train))
        return self

    def people(self, number, *, images_per_video=1, **arguments):
        for index in range(number):
            self.add([rectangle(pose(index, **arguments))], video=1 + index // images_per_video)
        return self

    def write(self, path, **other):
        count = len(self.images)
        annolist = structs([
            dict(image=dict(name=image['name']), annorect=image['annorect'], frame_sec=np.zeros((0, 0)),
                 vididx=np.zeros((0, 0)) if image['video'] is None else np.uint16(image['video']))
            for image in self.images])
        singles = np.empty((count, 1), dtype=object)
        for index, image in enumerate(self.images):
            singles[index, 0] = np.array(image['single'], dtype=np.uint8).reshape(-1, 1)
        videos = np.array(self.videos, dtype=object)[None]
        release = dict(
            annolist=annolist, img_train=np.array([[image['train'] for image in self.images]], dtype=np.uint8),
            version='12', single_person=singles,
            act=structs([dict(cat_name='sports', act_name='archery', act_id=np.int16(1))] * count), video_list=videos)
        release.update(other)
        savemat(path, dict(RELEASE=release), do_compression=True)
        return path
