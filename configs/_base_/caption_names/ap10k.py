# AP-10K's 17 keypoints in short
caption_names = [
    'leye', 'reye', 'nose', 'neck', 'tail', 'lsho', 'lelb', 'lfpaw', 'rsho', 'relb', 'rfpaw', 'lhip', 'lknee',
    'lbpaw', 'rhip', 'rknee', 'rbpaw'
]
