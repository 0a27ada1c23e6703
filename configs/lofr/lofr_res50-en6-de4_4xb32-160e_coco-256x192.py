_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']

# model settings: 6 encoder layers and 4 of the decoder
model = dict(head=dict(encoder=dict(num_layers=6), part_decoder=dict(num_layers=4)))
