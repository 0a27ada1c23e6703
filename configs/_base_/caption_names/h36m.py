# Human3.6M's 17 keypoints in short
caption_names = [
    'pelvis', 'rhip', 'rknee', 'rfoot', 'lhip', 'lknee', 'lfoot', 'spine', 'thorax', 'neck', 'head', 'lsho', 'lelb',
    'lwri', 'rsho', 'relb', 'rwri'
]
