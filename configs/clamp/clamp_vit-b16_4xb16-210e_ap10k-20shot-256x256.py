_base_ = ['./clamp_vit-b16_4xb32-210e_ap10k-256x256.py']

# optimizer: the rate for ViT-B, Sec. 4.1; the backbone keeps its tenth
optim_wrapper = dict(optimizer=dict(lr=5e-5))

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=64)  # Sec. 4.1

# data loaders: 20 animals of each species; make the file with
#   clamp-mmpose make-splits few-shot --data-root data/ap10k --shots 20 --seed 0
train_dataloader = dict(batch_size=16, dataset=dict(ann_file='annotations/ap10k-train-split1_20shot-seed0.json'))
