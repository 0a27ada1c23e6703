# AP-10K's 17 keypoints in the words of the released CLAMP
keypoint_names = [
    'left eye', 'right eye', 'nose', 'neck', 'tail root',
    'left shoulder', 'left elbow', 'left front paw', 'right shoulder', 'right elbow', 'right front paw',
    'left hip', 'left knee', 'left back paw', 'right hip', 'right knee', 'right back paw'
]
