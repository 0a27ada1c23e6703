_base_ = ['../_base_/detection_plugin.py', 'mmdet::retinanet/retinanet_r101_fpn_1x_coco.py']

# data loaders
train_dataloader = dict(
    persistent_workers=False,  # workers start anew with the epoch's seed
    worker_init_fn=dict(type='epoch_worker_init'))
