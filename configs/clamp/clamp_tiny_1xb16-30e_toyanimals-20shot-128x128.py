_base_ = ['./clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# data loaders: 20 animals of each species; make the file with
#   clamp-mmpose make-splits few-shot --data-root data/toyanimals --shots 20 --seed 0
train_dataloader = dict(dataset=dict(ann_file='annotations/ap10k-train-split1_20shot-seed0.json'))
