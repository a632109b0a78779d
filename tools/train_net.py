#!/usr/bin/env python
"""python -m gcl.tools.train_net"""

from gcl.tools.train_net import main

if __name__ == "__main__":
    main()
