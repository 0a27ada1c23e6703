# CrowdPose's 14 keypoints
keypoint_names = [
    'left shoulder', 'right shoulder', 'left elbow', 'right elbow', 'left wrist', 'right wrist', 'left hip',
    'right hip', 'left knee', 'right knee', 'left ankle', 'right ankle', 'head top', 'neck'
]
