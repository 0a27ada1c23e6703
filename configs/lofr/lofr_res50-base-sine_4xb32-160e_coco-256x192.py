_base_ = ['./lofr_res50-base_4xb32-160e_coco-256x192.py']

# model settings: DETR's position encoding (ours; the paper does not say whether its baseline has it)
model = dict(head=dict(position_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True)))
