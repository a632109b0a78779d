"""AUC and false-accept rate against scikit-learn and against counting."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from gcl.pseudo_labels import verify


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    same = np.round(rng.normal(0.6, 0.2, 300), 2)  # with ties
    different = np.round(rng.normal(0.3, 0.2, 500), 2)
    found = verify(same, different)
    truth = np.repeat([1, 0], [300, 500])
    scores = np.concatenate([same, different])
    assert found.auc == pytest.approx(roc_auc_score(truth, scores))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.false_accept_rate == pytest.approx(false[true >= 0.95].min())
    assert (same >= found.threshold).mean() >= 0.95 > (same > found.threshold).mean()


@pytest.mark.parametrize(
    ("same", "different", "auc", "rate", "threshold"),
    [
        ([0.9], [0.1], 1, 0, 0.9),
        ([0.1], [0.9], 0, 1, 0.1),
        ([0.5, 0.5], [0.5], 0.5, 1, 0.5),
        (np.arange(20) / 20, [0.06, 0.04], (19 - 1 + 19) / 40, 0.5, 0.05),  # 19 of 20 are kept
    ],
)
def test_at_the_edges(same, different, auc, rate, threshold):
    found = verify(np.array(same), np.array(different))
    assert found == pytest.approx((auc, rate, threshold))
