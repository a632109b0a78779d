"""A verdict is the worst of what is known, and never says more than that."""

import pytest

from gcl.evaluation.run_verdict import judge

GOOD = {
    "clusters": 50,
    "outlier_share": 0.05,
    "largest": 0.03,
    "stability": 0.97,
    "cross_camera": 0.4,
    "false_accept_rate": 0.004,
    "start_false_accept_rate": 0.05,
}


def test_a_good_run():
    found = judge(GOOD)
    assert found.level == "good" and found.headline == "This run looks good."
    assert {check.level for check in found.checks} == {"good"}
    first = found.checks[0].figure
    assert "0.4 % of pairs of two" in first and "5.0 % before training" in first


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"false_accept_rate": 0.06, "start_false_accept_rate": 0.2}, "doubtful", "confuses some"),
        ({"false_accept_rate": 0.2, "start_false_accept_rate": 0.3}, "bad", "It confuses people"),
        ({"start_false_accept_rate": 0.0, "false_accept_rate": 0.015}, "doubtful", "made it worse"),
        ({"outlier_share": 0.4}, "doubtful", "Many crops found nobody"),
        ({"outlier_share": 0.8}, "bad", "Most crops found nobody"),
        ({"clusters": 1}, "bad", "No groups"),
        ({"largest": 0.5}, "bad", "very many crops"),
        ({"stability": 0.8}, "doubtful", "still move"),
        ({"stability": 0.2}, "bad", "hardly people"),
        ({"cross_camera": 0.01}, "doubtful", "do the cameras share people?"),
    ],
)
def test_the_worst_comes_first_and_is_the_verdict(changes, level, words):
    found = judge(GOOD | changes)
    assert found.level == found.checks[0].level == level
    assert words in found.checks[0].words
    assert (found.headline == "This run looks good.") == (level == "good")


def test_without_tracks_nothing_is_proven():
    known = {k: v for k, v in GOOD.items() if "false_accept" not in k}
    found = judge(known)
    assert found.level == "good" and "no tracks that could prove it" in found.headline
    assert judge({k: known[k] for k in ("clusters", "outlier_share", "largest")}).level == "good"
    assert "tracks" not in judge(known | {"outlier_share": 0.9}).headline


def test_a_few_people_may_be_large_clusters():
    assert judge(GOOD | {"clusters": 4, "largest": 0.4}).level == "good"
