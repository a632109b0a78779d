#!/usr/bin/env python
"""Cut the crops of people out of recordings, where a tracker has found them.

The same as ``python -m gcl.tools.cut_crops``, which runs from any folder.
"""

from gcl.tools.cut_crops import main

if __name__ == "__main__":
    main()
