#!/usr/bin/env python
"""Pre-train a view generator on drawn people, for GCL.GENERATOR.WEIGHTS.

The same as ``python -m gcl.tools.pretrain_generator``, which runs from any folder.
"""

from gcl.tools.pretrain_generator import main

if __name__ == "__main__":
    main()
