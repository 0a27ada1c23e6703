_base_ = ['./clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings: the score map alone predicts, so that other names may be asked for after training
model = dict(
    head=dict(
        matching_only=True,
        in_channels=None,
        score_head=dict(deconv_out_channels=(16, 16))))  # runs once per keypoint, from stride 16 to stride 4
