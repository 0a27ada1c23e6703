"""Penn Action's 13 keypoints, which MMPose has no metainfo of."""
_LEFT, _RIGHT, _MIDDLE = [0, 255, 0], [255, 128, 0], [51, 153, 255]  # MMPose's colours of the sides
# Loss weight and sigma are COCO's of the same joint, and of the head CrowdPose's.
_JOINTS = (('shoulder', 1.0, 0.079), ('elbow', 1.2, 0.072), ('wrist', 1.5, 0.062), ('hip', 1.0, 0.107),
           ('knee', 1.2, 0.087), ('ankle', 1.5, 0.089))
_LIMBS = (('shoulder', 'elbow'), ('elbow', 'wrist'), ('shoulder', 'hip'), ('hip', 'knee'), ('knee', 'ankle'))
_SIDES = (('left', 'right', _LEFT), ('right', 'left', _RIGHT))

_keypoints = [dict(name='head', color=_MIDDLE, type='upper', swap='')] + [
    dict(name=f'{side}_{joint}', color=color, swap=f'{other}_{joint}',
         type='lower' if joint in ('hip', 'knee', 'ankle') else 'upper')
    for joint, _, _ in _JOINTS for side, other, color in _SIDES]
_links = [dict(link=(f'{side}_{first}', f'{side}_{second}'), color=color)
          for first, second in _LIMBS for side, _, color in _SIDES]
_links += [dict(link=link, color=_MIDDLE) for link in (
    ('head', 'left_shoulder'), ('head', 'right_shoulder'), ('left_shoulder', 'right_shoulder'),
    ('left_hip', 'right_hip'))]

PENN_ACTION = dict(
    dataset_name='pennaction',
    paper_info=dict(
        author='Zhang, Weiyu and Zhu, Menglong and Derpanis, Konstantinos G.',
        title='From actemes to action: A strongly-supervised representation for detailed action understanding',
        container='ICCV',
        year='2013',
        homepage='http://dreamdragon.github.io/PennAction/'),
    keypoint_info={index: dict(keypoint, id=index) for index, keypoint in enumerate(_keypoints)},
    skeleton_info={index: dict(link, id=index) for index, link in enumerate(_links)},
    joint_weights=[1.0] + [weight for _, weight, _ in _JOINTS for _ in _SIDES],
    sigmas=[0.079] + [sigma for _, _, sigma in _JOINTS for _ in _SIDES])
