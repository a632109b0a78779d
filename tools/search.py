#!/usr/bin/env python
"""Search a folder of crops for the people of some crops.

The same as ``python -m gcl.tools.search``, which runs from any folder.
"""

from gcl.tools.search import main

if __name__ == "__main__":
    main()
