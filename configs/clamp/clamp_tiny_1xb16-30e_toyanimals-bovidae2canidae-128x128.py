_base_ = ['./clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# data loaders: trained on one family, tested on another; make the files with
#   clamp-mmpose make-splits family --data-root data/toyanimals --train Bovidae --test Canidae --test-images all
train_dataloader = dict(dataset=dict(ann_file='annotations/ap10k-train-split1_bovidae.json'))
val_dataloader = dict(dataset=dict(ann_file='annotations/ap10k-all-split1_canidae.json'))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=_base_.data_root + 'annotations/ap10k-all-split1_canidae.json')
test_evaluator = val_evaluator
