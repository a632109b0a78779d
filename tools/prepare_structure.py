#!/usr/bin/env python
"""Make or check the structure images of a data set.

The same as ``python -m gcl.tools.prepare_structure``, which runs from any folder.
"""

from gcl.tools.prepare_structure import main

if __name__ == "__main__":
    main()
