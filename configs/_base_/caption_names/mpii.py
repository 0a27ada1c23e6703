# MPII's 16 keypoints, as the paper's captions have them
caption_names = [
    'rankl', 'rknee', 'rhip', 'lhip', 'lknee', 'lankl', 'pelvis', 'thorax', 'upper_neck', 'head', 'rwri', 'relb',
    'rsho', 'lsho', 'lelb', 'lwri'
]
