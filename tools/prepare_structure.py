#!/usr/bin/env python
"""python -m gcl.tools.prepare_structure"""

from gcl.tools.prepare_structure import main

if __name__ == "__main__":
    main()
