_base_ = ['./simplebaseline_clip-rn50_4xb32-210e_ap10k-256x256.py']

# data loaders: trained on one family, tested on another; make the files with
#   clamp-mmpose make-splits family --data-root data/ap10k --train Canidae --test Equidae
train_dataloader = dict(dataset=dict(ann_file='annotations/ap10k-train-split1_canidae.json'))
val_dataloader = dict(dataset=dict(ann_file='annotations/ap10k-val-split1_equidae.json'))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=_base_.data_root + 'annotations/ap10k-val-split1_equidae.json')
test_evaluator = val_evaluator
