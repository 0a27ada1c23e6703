_base_ = ['./simplebaseline_clip-vit-b16_4xb32-210e_coco-256x192.py']

# data loaders: a random 2 % of the training images; make the file with
#   clamp-mmpose make-splits fraction --ann data/coco/annotations/person_keypoints_train2017.json \
#       --percent 2 --seeds 0
train_dataloader = dict(dataset=dict(ann_file='annotations/person_keypoints_train2017_2pct-seed0.json'))
