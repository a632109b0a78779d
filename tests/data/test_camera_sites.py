"""Which cameras share people, from GCL.LABELS.SITES."""

import pytest

from gcl.config import ConfigError
from gcl.data.camera_sites import sites_of

CAMERAS = ["gate", "hall", "gate", "yard", "hall"]


def test_each_image_is_at_the_site_of_its_camera():
    assert sites_of([["hall", "gate"], ["yard"]], CAMERAS).tolist() == [0, 0, 0, 1, 0]
    assert sites_of(((0, 2), ("1",)), ["0", "1", "2", "1"]).tolist() == [0, 1, 0, 1]
    assert sites_of((), CAMERAS) is None


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ((("gate", "hall"),), ["'yard'", "names no site", "'gate', 'hall', 'yard'"]),
        ((("gate", "hall"), ("yard", "roof")), ["'roof'", "there is no image", "'yard'"]),
    ],
)
def test_a_camera_that_is_forgotten_or_not_there_is_named(groups, said):
    with pytest.raises(ConfigError) as caught:
        sites_of(groups, CAMERAS)
    assert all(word in str(caught.value) for word in ["GCL.LABELS.SITES", *said])
