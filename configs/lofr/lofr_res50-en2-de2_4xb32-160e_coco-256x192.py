_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']

# model settings: 2 encoder layers and 2 of the decoder
model = dict(head=dict(encoder=dict(num_layers=2), part_decoder=dict(num_layers=2)))
