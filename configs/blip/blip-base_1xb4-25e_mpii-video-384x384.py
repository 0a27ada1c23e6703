_base_ = ['blip-base_1xb4-25e_mpii-384x384.py']

# no video has frames in both files: `clamp-mmpose prepare-mpii-captions --split-by video`
stem = 'annotations/mpii_captions-video'
train_dataloader = dict(dataset=dict(ann_file=f'{stem}_train.json'))
val_dataloader = dict(
    dataset=dict(ann_file=f'{stem}_val.json', headbox_file=f'{_base_.data_root}{stem}_gt_val.mat'))
test_dataloader = val_dataloader
