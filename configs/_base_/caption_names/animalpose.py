# Animal-Pose's 20 keypoints in short
caption_names = [
    'leye', 'reye', 'lear', 'rear', 'nose', 'throat', 'tail', 'withers', 'lfelb', 'rfelb', 'lbelb', 'rbelb',
    'lfknee', 'rfknee', 'lbknee', 'rbknee', 'lfpaw', 'rfpaw', 'lbpaw', 'rbpaw'
]
