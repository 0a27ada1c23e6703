# CrowdPose's 14 keypoints in short
caption_names = [
    'lsho', 'rsho', 'lelb', 'relb', 'lwri', 'rwri', 'lhip', 'rhip', 'lknee', 'rknee', 'lankl', 'rankl', 'head',
    'neck'
]
