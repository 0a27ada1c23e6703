_base_ = ['./clamp_vit-b16_4xb32-210e_ap10k-256x256.py']

# for the authors' checkpoint, through clamp-mmpose convert: the model that they released, to its losses
model = dict(
    backbone=dict(double_class_embedding=True),  # a slip that the weights were trained with
    head=dict(feature_sampling='released'))
