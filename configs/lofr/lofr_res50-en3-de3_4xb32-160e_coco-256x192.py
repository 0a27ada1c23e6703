_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']

# model settings: 3 encoder layers and 3 of the decoder
model = dict(head=dict(encoder=dict(num_layers=3), part_decoder=dict(num_layers=3)))
