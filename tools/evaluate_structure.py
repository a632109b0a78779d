#!/usr/bin/env python
"""Evaluate the structure estimator on crops of which the truth is known.

The same as ``python -m gcl.tools.evaluate_structure``, which runs from any folder.
"""

from gcl.tools.evaluate_structure import main

if __name__ == "__main__":
    main()
