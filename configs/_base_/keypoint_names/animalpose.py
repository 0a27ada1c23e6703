# Animal-Pose's 20 keypoints; the paper does not give its wording, these fit CLAMP's five tokens
keypoint_names = [
    'left eye', 'right eye', 'left earbase', 'right earbase', 'nose', 'throat', 'tail base', 'withers',
    'left front elbow', 'right front elbow', 'left back elbow', 'right back elbow',
    'left front knee', 'right front knee', 'left back knee', 'right back knee',
    'left front paw', 'right front paw', 'left back paw', 'right back paw'
]
