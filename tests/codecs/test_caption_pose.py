"""Poses as captions: the paper's formats byte for byte, and round trips."""
import numpy as np
import pytest

from clamp_mmpose.codecs import CaptionPose

# MMPose's MPII test sample 005808361, 1280x720.
POSE = np.array([(804, 711), (816, 510), (908, 438), (1040, 454), (906, 528), (883, 707), (974, 446), (985, 253),
                 (983, 236), (962, 80), (869, 214), (798, 340), (902, 253), (1067, 253), (1167, 353), (1142, 478)])
TEXT = ('rankl:804,711 rknee:816,510 rhip:908,438 lhip:1040,454 lknee:906,528 lankl:883,707 pelvis:974,446 '
        'thorax:985,253 upper_neck:983,236 head:962,80 rwri:869,214 relb:798,340 rsho:902,253 lsho:1067,253 '
        'lelb:1167,353 lwri:1142,478 ')
CAPTIONS = dict(
    text=TEXT,
    simple_text='rknee:816,510 lknee:906,528 head:962,80 relb:798,340 lelb:1167,353 ',
    visibility_text='rankl:1 rknee:1 rhip:1 lhip:1 lknee:1 lankl:1 pelvis:1 thorax:1 upper_neck:1 head:1 rwri:1 relb:1 '
    'rsho:1 lsho:1 lelb:1 lwri:1 ',
    simple_visibility_text='rknee:1 lknee:1 head:1 relb:1 lelb:1 ',
    normalized_simple_text='rknee:0.637,0.708 lknee:0.708,0.733 head:0.752,0.111 relb:0.623,0.472 lelb:0.912,0.49 ',
    single='neck: (983, 236)',
)


@pytest.mark.parametrize('style', CAPTIONS)
def test_captions_are_the_papers_byte_for_byte(style):
    assert CaptionPose((1280, 720), style=style).write(POSE) == CAPTIONS[style]
