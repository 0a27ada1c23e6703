# Penn Action's 13 keypoints
keypoint_names = [
    'head', 'left shoulder', 'right shoulder', 'left elbow', 'right elbow', 'left wrist', 'right wrist', 'left hip',
    'right hip', 'left knee', 'right knee', 'left ankle', 'right ankle'
]
