"""Sound catalogues with clustering pass every check of places and speeds; `sound_catalogues.py` judges 70 of them."""

import pytest
from sound_catalogues import boxes, judge_boxes, judge_cones


@pytest.mark.slow
def test_sound_boxes_and_light_cones_pass():
    seeds = range(20, 22)
    groups = [judge_boxes(boxes(seeds, [(50.0, 48, 2.9)]))]
    groups += [judge_cones(seeds, 0.5, (2.4, 3.4)), judge_cones(seeds, 1.4, (2.8, 3.0))]
    assert all(len(verdicts) >= len(seeds) for verdicts in groups), "each seed is judged in each way"
    assert not [line for verdicts in groups for line in verdicts if line]
