# Penn Action's 13 keypoints in short
caption_names = [
    'head', 'lsho', 'rsho', 'lelb', 'relb', 'lwri', 'rwri', 'lhip', 'rhip', 'lknee', 'rknee', 'lankl', 'rankl'
]
