_base_ = ['./clamp_vit-l14_4xb32-210e_ap10k-224x224.py']

# for the authors' checkpoint, through clamp-mmpose convert: the model that they released, to its losses
model = dict(
    backbone=dict(double_class_embedding=True),  # a slip that the weights were trained with
    neck=dict(text_encoder=dict(heads=8)),  # CLIP has 12; the shapes are the same
    head=dict(feature_sampling='released'))
