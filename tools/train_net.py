#!/usr/bin/env python
"""Train or evaluate GCL, or a baseline of the toolbox: the toolbox's command line.

The same as ``python -m gcl.tools.train_net``, which runs from any folder.
"""

from gcl.tools.train_net import main

if __name__ == "__main__":
    main()
