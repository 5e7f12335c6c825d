"""Sound catalogues with clustering pass every check of places and speeds; `sound_catalogues.py` judges 70 of them."""

import pytest
from sound_catalogues import boxes, judge_boxes, judge_cones


@pytest.mark.slow
def test_sound_boxes_and_light_cones_pass():
    verdicts = judge_boxes(boxes(range(20, 22), [(50.0, 48, 2.9)]))
    verdicts += judge_cones(range(20, 22), 0.5, (2.4, 3.4)) + judge_cones(range(20, 22), 1.4, (2.8, 3.0))
    assert len(verdicts) == 20
    assert not any(verdicts), [line for line in verdicts if line]
