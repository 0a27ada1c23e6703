_base_ = ['./denseclip_rn50-retinanet_8xb2-12e_coco-det.py', '../_base_/class_names/ap10k_species.py']
class_names = _base_.species_names
num_classes = len(class_names)

# model settings
model = dict(
    neck=dict(names=class_names, next_neck=dict(in_channels=[256, 512, 1024, 2048 + num_classes])),
    bbox_head=dict(head=dict(num_classes=num_classes)))

# base dataset settings: CocoDataset, whose classes are AP-10K's categories
data_root = 'data/ap10k/'
dataset = dict(data_root=data_root, metainfo=dict(classes=class_names), data_prefix=dict(img='data/'))

# data loaders
train_dataloader = dict(dataset=dict(dataset, ann_file='annotations/ap10k-train-split1.json'))
val_dataloader = dict(dataset=dict(dataset, ann_file='annotations/ap10k-val-split1.json'))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(ann_file=data_root + 'annotations/ap10k-val-split1.json')
test_evaluator = val_evaluator
