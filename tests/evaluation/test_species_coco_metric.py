import copy

import numpy as np
import pytest
from animal_results import SPECIES, K, breakdown, evaluate, make_animals, meta, only, read_rows
from mmengine.logging import MMLogger
from mmpose.registry import METRICS

ONE_KEYPOINT = dict(num_keypoints=1, mapping=[(3, 0)])


def number(row, score):
    return float(row[score] or 'nan')


@pytest.mark.parametrize('options', [
    dict(),
    dict(score_mode='bbox', nms_mode='none'),
    dict(score_mode='keypoint', nms_mode='soft_oks_nms', nms_thr=0.5),
    dict(use_area=False, prefix='val'),
    dict(iou_type='keypoints_crowd', use_area=False),
    dict(ann_file=None),
    dict(ann_file=None, iou_type='keypoints_crowd'),
    dict(gt_converter=ONE_KEYPOINT, pred_converter=ONE_KEYPOINT),
], ids=str)
def test_returns_what_coco_metric_returns_to_the_last_digit(tmp_path, options):
    truth, samples = make_animals(detections=3)
    # CrowdPose's part of each difficulty must not be empty.
    for image, crowd in zip(truth['images'], [0.1, 0.5, 0.9] * 5):
        image['crowdIndex'] = crowd
        for sample in samples:
            if sample['img_id'] == image['id']:
                sample['crowd_index'] = crowd
    expected = evaluate('CocoMetric', truth, copy.deepcopy(samples), tmp_path, **options)
    found = evaluate('SpeciesCocoMetric', truth, samples, tmp_path, bootstrap=5, **options)
    assert 0 < expected[f'{options.get("prefix", "coco")}/AP'] < 1
    assert found == expected
    assert [*found] == [*expected]


def test_every_keypoint_and_the_whole_have_coco_metrics_numbers(tmp_path):
    truth, samples = make_animals(num_images=25, detections=2)
    options = dict(score_mode='bbox', nms_mode='none')
    rows = breakdown(truth, samples, tmp_path, **options)
    whole = evaluate('CocoMetric', truth, copy.deepcopy(samples), tmp_path, **options)
    for score in ('AP', 'AR'):
        assert number(rows['all', ''], score) == whole[f'coco/{score}']
    for index, name in enumerate(['left eye', 'right eye', 'nose', 'tail']):
        # CocoMetric's converters leave one keypoint of K, on both sides.
        converter = dict(num_keypoints=1, mapping=[(index, 0)])
        alone = evaluate('CocoMetric', truth, copy.deepcopy(samples), tmp_path, gt_converter=converter,
                         pred_converter=converter, **options)
        for score in ('AP', 'AR'):
            np.testing.assert_allclose(number(rows['keypoint', name], score), alone[f'coco/{score}'], rtol=1e-12)


@pytest.mark.parametrize('options', [dict(), dict(use_area=False), dict(iou_type='keypoints_crowd')], ids=str)
def test_a_species_has_the_numbers_of_its_part_of_the_data(tmp_path, options):
    truth, samples = make_animals(num_images=30, detections=3)
    for annotation in truth['annotations'][::4]:
        annotation['num_keypoints'] = 0  # CrowdPose counts those in sight, and leaves out the instance
    rows = breakdown(truth, samples, tmp_path, bootstrap=0, **options)
    values = {}
    for id_, (name, family) in SPECIES.items():
        alone = evaluate('CocoMetric', *only(truth, copy.deepcopy(samples), id_), tmp_path, **options)
        for score in ('AP', 'AR'):
            np.testing.assert_allclose(number(rows['species', name], score), alone[f'coco/{score}'], rtol=1e-12)
        values.setdefault(family, []).append(alone['coco/AP'])
    for family, part in values.items():
        np.testing.assert_allclose(number(rows['family', family], 'AP'), np.mean(part), rtol=1e-12)


def test_images_and_instances_with_labels_are_counted(tmp_path):
    truth, samples = make_animals(num_images=30)
    truth['annotations'][0].update(keypoints=[0] * 3 * K, num_keypoints=0)
    truth['annotations'][1]['iscrowd'] = 1
    rows = breakdown(truth, samples, tmp_path, bootstrap=0)
    counted = [entry for entry in truth['annotations'][2:] if any(entry['keypoints'][2::3])]
    assert int(rows['all', '']['instances']) == len(counted)
    assert int(rows['all', '']['images']) == len({entry['image_id'] for entry in counted})
    nose = [entry for entry in counted if entry['keypoints'][2 * 3 + 2] > 0]
    assert int(rows['keypoint', 'nose']['instances']) == len(nose)
    lions = [entry for entry in counted if entry['category_id'] == 2]
    assert int(rows['species', 'lion']['instances']) == len(lions)
    assert int(rows['species', 'lion']['images']) == len({entry['image_id'] for entry in lions})


def test_what_is_not_annotated_does_not_count_and_what_is_not_predicted_is_missed(tmp_path):
    truth, samples = make_animals(num_images=30)
    truth['annotations'] = [entry for entry in truth['annotations'] if entry['category_id'] != 5]
    samples = [sample for sample in samples if sample['category_id'] != 9]
    rows = breakdown(truth, samples, tmp_path, bootstrap=20)
    for row in (rows['species', 'dog'], rows['family', 'Canidae']):
        assert row['instances'] == '0' and row['AP'] == row['AR'] == row['PCK'] == row['AP_low'] == ''
    assert [number(rows['species', 'horse'], score) for score in ('AP', 'AR', 'PCK')] == [0, 0, 0]
    parts = [number(rows['species', name], 'PCK') for name in ('cat', 'lion', 'horse')]
    np.testing.assert_allclose(number(rows['all', ''], 'PCK'), np.mean(parts))


def test_without_any_prediction_all_is_missed(tmp_path):
    truth, samples = make_animals()
    for sample in samples:
        sample['pred_instances'] = dict(keypoints=np.zeros((0, K, 2)), keypoint_scores=np.zeros((0, K)))
    rows = breakdown(truth, samples, tmp_path, bootstrap=10)
    assert {number(row, score) for row in rows.values() for score in ('AP', 'AR', 'PCK')} == {0}


@pytest.mark.parametrize('bboxes', [True, False])
def test_predictions_that_are_no_numbers_are_misses_of_their_keypoint(tmp_path, bboxes):
    truth, samples = make_animals(species=(1, ))
    for sample in samples:
        sample['pred_instances']['keypoints'][:, 2] = np.nan
        if not bboxes:
            del sample['pred_instances']['bboxes']
    expected = evaluate('CocoMetric', truth, copy.deepcopy(samples), tmp_path, nms_mode='none')
    assert evaluate('SpeciesCocoMetric', truth, copy.deepcopy(samples), tmp_path, nms_mode='none') == expected
    rows = breakdown(truth, samples, tmp_path, nms_mode='none')
    assert number(rows['keypoint', 'nose'], 'AP') == number(rows['keypoint', 'nose'], 'PCK') == 0
    assert number(rows['keypoint', 'tail'], 'AP') > 0.1


def test_one_category_without_family(tmp_path):
    truth, samples = make_animals(species=(1, ))
    truth['categories'] = [dict(id=1, name='person')]
    rows = breakdown(truth, samples, tmp_path, bootstrap=0)
    assert {group for group, _ in rows} == {'all', 'species', 'keypoint'}
    assert all(rows['species', 'person'][score] for score in ('AP', 'AR', 'PCK'))
    for score in ('AP', 'AR', 'PCK'):
        np.testing.assert_allclose(number(rows['species', 'person'], score), number(rows['all', ''], score))


def test_categories_of_one_name_are_told_apart(tmp_path):
    truth, samples = make_animals()
    for category in truth['categories'][:2]:
        category['name'] = 'cat'
    rows = breakdown(truth, samples, tmp_path, bootstrap=0)
    assert {('species', 'cat (1)'), ('species', 'cat (2)'), ('species', 'dog')} <= set(rows)


def test_annotations_of_unknown_images_and_categories_are_left_out_as_coco_does(tmp_path):
    truth, samples = make_animals()
    strange = dict(truth['annotations'][0], id=1000, image_id=99999), dict(truth['annotations'][0], id=1001,
                                                                           category_id=77)
    truth['annotations'] += strange
    expected = evaluate('CocoMetric', truth, copy.deepcopy(samples), tmp_path)
    assert evaluate('SpeciesCocoMetric', truth, samples, tmp_path, bootstrap=5) == expected


def test_a_second_evaluation_gives_the_same(tmp_path):
    """As at each validation of a training."""
    _, samples = make_animals()
    metric = METRICS.build(dict(type='SpeciesCocoMetric', bootstrap=10, csv_file=str(tmp_path / 'table.csv')))
    metric.dataset_meta = meta()
    results = []
    for _ in range(2):
        metric.process(None, copy.deepcopy(samples))
        results.append((metric.evaluate(len(samples)), (tmp_path / 'table.csv').read_text()))
    assert results[0] == results[1]


def test_groups_can_be_returned_for_loggers_and_save_best(tmp_path):
    truth, samples = make_animals()
    truth['annotations'] = [entry for entry in truth['annotations'] if entry['category_id'] != 5]
    found = evaluate('SpeciesCocoMetric', truth, samples, tmp_path, bootstrap=0, returned=['all', 'family', 'keypoint'],
                     csv_file=str(tmp_path / 'table.csv'))
    rows = read_rows(tmp_path / 'table.csv')
    assert found['coco/family/Felidae/AP'] == number(rows['family', 'Felidae'], 'AP')
    assert found['coco/keypoint/nose/PCK'] == number(rows['keypoint', 'nose'], 'PCK')
    assert found['coco/all/PCK'] == number(rows['all', ''], 'PCK')
    # What cannot be measured is no key, which loggers could not draw.
    assert 'coco/family/Canidae/AP' not in found and 'coco/species/lion/AP' not in found


def test_only_the_groups_asked_for_are_in_the_table(tmp_path):
    rows = breakdown(*make_animals(), tmp_path, bootstrap=0, groups=['species'])
    assert {group for group, _ in rows} == {'all', 'species'}


def test_table_lies_beside_the_results_or_the_log(tmp_path, monkeypatch):
    truth, samples = make_animals()
    monkeypatch.chdir(tmp_path)
    evaluate('SpeciesCocoMetric', truth, copy.deepcopy(samples), tmp_path, bootstrap=0, groups=[])
    assert [*tmp_path.glob('**/*.csv')] == []
    (tmp_path / 'run').mkdir()
    logger = MMLogger('species', log_file=str(tmp_path / 'run' / 'log.log'))
    monkeypatch.setattr(MMLogger, 'get_current_instance', classmethod(lambda cls: logger))
    for options in (dict(), dict(prefix='val/night'), dict(outfile_prefix=str(tmp_path / 'out' / 'results')),
                    dict(csv_file=str(tmp_path / 'new' / 'folder' / 'table.csv'))):
        evaluate('SpeciesCocoMetric', truth, copy.deepcopy(samples), tmp_path, bootstrap=0, groups=[], **options)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob('**/*.csv')} == {
        'run/animals_species.csv', 'run/animals_val_night_species.csv', 'out/results.species.csv',
        'new/folder/table.csv'}


def test_format_only_writes_the_results_and_no_table(tmp_path):
    truth, samples = make_animals()
    prefix = tmp_path / 'out' / 'results'
    assert evaluate('SpeciesCocoMetric', truth, samples, tmp_path, format_only=True, outfile_prefix=str(prefix)) == {}
    assert [path.name for path in prefix.parent.iterdir()] == ['results.keypoints.json']


@pytest.mark.parametrize('options, match', [
    (dict(groups='species'), "groups='species' must be a list of 'family', 'species', 'keypoint'"),
    (dict(groups=['genus']), r"groups=\['genus'\]"),
    (dict(returned=['breed']), r"returned=\['breed'\].*'all'"),
    (dict(groups=['species'], returned=['family']), r"returned=\['family'\] must be among groups=\['species'\]"),
    (dict(bootstrap=-1), 'bootstrap=-1'),
    (dict(bootstrap=0.5), 'bootstrap=0.5'),
    (dict(confidence=95), 'confidence=95 must lie between 0 and 1'),
    (dict(pck_thr=0), 'pck_thr=0'),
    (dict(pck_norm='torso'), "pck_norm='torso' must be 'bbox' or the names of two keypoints"),
])
def test_wrong_arguments_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        METRICS.build(dict(type='SpeciesCocoMetric', **options))


def test_unknown_keypoints_of_pck_norm_list_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"\['withers'\] are not among the keypoints left eye, right eye, nose, tail"):
        breakdown(*make_animals(), tmp_path, pck_norm=['nose', 'withers'])
