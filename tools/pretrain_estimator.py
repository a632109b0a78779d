#!/usr/bin/env python
"""python -m gcl.tools.pretrain_estimator"""

from gcl.tools.pretrain_estimator import main

if __name__ == "__main__":
    main()
