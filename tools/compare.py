#!/usr/bin/env python
"""Compare runs: their last evaluations as a table, their curves and generated views as PNG.

The same as ``python -m gcl.tools.compare``, which runs from any folder.
"""

from gcl.tools.compare import main

if __name__ == "__main__":
    main()
