_base_ = ['./denseclip_rn50-retinanet_8xb2-12e_coco-det.py']
class_names = ['person']
num_classes = len(class_names)

# model settings
model = dict(
    neck=dict(names=class_names, next_neck=dict(in_channels=[256, 512, 1024, 2048 + num_classes])),
    bbox_head=dict(head=dict(num_classes=num_classes)))

# data loaders
dataset = dict(metainfo=dict(classes=class_names))
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
