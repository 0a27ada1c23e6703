# MPII's 16 keypoints
keypoint_names = [
    'right ankle', 'right knee', 'right hip', 'left hip', 'left knee', 'left ankle', 'pelvis', 'thorax', 'upper neck',
    'head top', 'right wrist', 'right elbow', 'right shoulder', 'left shoulder', 'left elbow', 'left wrist'
]
