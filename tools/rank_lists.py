#!/usr/bin/env python
"""Draw rank lists: some queries of a test set and whom a model finds first for each.

The same as ``python -m gcl.tools.rank_lists``, which runs from any folder.
"""

from gcl.tools.rank_lists import main

if __name__ == "__main__":
    main()
