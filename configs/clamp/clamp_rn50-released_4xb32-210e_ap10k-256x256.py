_base_ = ['./clamp_rn50_4xb32-210e_ap10k-256x256.py']

# for the authors' checkpoint, through clamp-mmpose convert: the model that they released, to its losses
model = dict(head=dict(feature_sampling='released'))
