"""The smallest training that goes through all phases: 9 steps of networks of a few channels."""

from __future__ import annotations

TINY: dict[str, object] = {
    "MODEL__BACKBONE__NAME": "build_unit_test_backbone",  # of conftest.py
    "MODEL__BACKBONE__FEAT_DIM": 16,
    "GCL__CONTRAST__EPOCHS": 1,
    "GCL__GENERATOR__EPOCHS": 1,
    "GCL__JOINT__EPOCHS": 1,
    "DATASETS__TESTS": (),
}
