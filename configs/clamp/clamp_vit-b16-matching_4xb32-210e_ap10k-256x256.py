_base_ = ['./clamp_vit-b16_4xb32-210e_ap10k-256x256.py']

# model settings: the score map alone predicts, so that other names may be asked for after training; our design, for the
# paper has none, and never run on AP-10K
model = dict(
    neck=dict(text_encoder=dict(context_length=77)),  # all of CLIP's positions, for long names
    head=dict(
        matching_only=True,
        in_channels=None,
        score_head=dict(deconv_out_channels=(16, 16))))  # runs once per keypoint, from stride 16 to stride 4
