# COCO's 17 keypoints in short
caption_names = [
    'nose', 'leye', 'reye', 'lear', 'rear', 'lsho', 'rsho', 'lelb', 'relb', 'lwri', 'rwri', 'lhip', 'rhip', 'lknee',
    'rknee', 'lankl', 'rankl'
]
