# Human3.6M's 17 keypoints
keypoint_names = [
    'pelvis', 'right hip', 'right knee', 'right foot', 'left hip', 'left knee', 'left foot', 'spine', 'thorax',
    'neck base', 'head', 'left shoulder', 'left elbow', 'left wrist', 'right shoulder', 'right elbow', 'right wrist'
]
