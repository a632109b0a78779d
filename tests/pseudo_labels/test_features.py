"""What goes into the labeller: unit rows, or one sentence that says what is wrong."""

import numpy as np
import pytest
import torch

from gcl.pseudo_labels import PseudoLabeler, unit_rows


@pytest.fixture
def raw():
    return np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rows_become_float32_of_unit_length(raw, dtype):
    x = unit_rows(torch.from_numpy(raw).to(dtype))
    assert x.dtype == torch.float32 and x.is_contiguous()
    torch.testing.assert_close(x.norm(dim=1), torch.ones(50), atol=1e-6, rtol=0)
    expected = torch.nn.functional.normalize(torch.from_numpy(raw).to(dtype).double())
    torch.testing.assert_close(x.double(), expected, atol=1e-6, rtol=0)


def test_unit_rows_are_neither_copied_nor_changed(raw):
    x = torch.nn.functional.normalize(torch.from_numpy(raw))
    assert unit_rows(x).data_ptr() == x.data_ptr()


def test_input_is_left_alone(raw):
    before = raw.copy()
    unit_rows(raw)
    raw.setflags(write=False)
    unit_rows(raw)
    np.testing.assert_array_equal(raw, before)


def test_extreme_lengths_and_zero_rows(raw):
    x = raw.astype(np.float64)
    x[0] *= 1e250
    x[1] *= 1e-250
    x[2] = 0
    out = unit_rows(x)
    torch.testing.assert_close(out[:2], unit_rows(raw)[:2])
    assert not out[2].any()
    assert torch.isfinite(out).all()


def test_a_strided_view_and_integers():
    grid = np.arange(24).reshape(4, 6)
    torch.testing.assert_close(unit_rows(grid.T), unit_rows(np.ascontiguousarray(grid.T) * 1.0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_rows_are_named(raw, value):
    raw[[3, 17], [0, 5]] = value
    for features in (raw, torch.from_numpy(raw), raw.astype(np.float64)):
        with pytest.raises(ValueError, match=r"in rows 3, 17 \(2 of 50 rows\)"):
            PseudoLabeler()(features)
    raw[:] = value
    with pytest.raises(ValueError, match=r"rows 0, 1, 2, 3, 4, 5, 6, 7 and 42 more \(50 of 50"):
        unit_rows(raw)


@pytest.mark.parametrize(
    ("features", "error", "sentence"),
    [
        ([[1.0, 2.0]], TypeError, "not list"),
        (np.array([["a"]]), TypeError, "real numbers"),
        (np.zeros((3, 2), complex), TypeError, "real numbers"),
        (torch.zeros(3, 2, dtype=torch.complex64), TypeError, "complex"),
        (np.zeros(3), ValueError, r"shape \(N, D\); the shape is \(3,\)"),
        (np.zeros((3, 0)), ValueError, "at least one column"),
    ],
)
def test_what_is_not_features_gets_a_sentence(features, error, sentence):
    with pytest.raises(error, match=sentence):
        PseudoLabeler()(features)
