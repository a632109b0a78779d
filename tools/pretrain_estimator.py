#!/usr/bin/env python
"""Train the estimator crop -> body that tools/prepare_structure.py uses by default.

The same as ``python -m gcl.tools.pretrain_estimator``, which runs from any folder.
"""

from gcl.tools.pretrain_estimator import main

if __name__ == "__main__":
    main()
