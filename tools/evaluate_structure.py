#!/usr/bin/env python
"""python -m gcl.tools.evaluate_structure"""

from gcl.tools.evaluate_structure import main

if __name__ == "__main__":
    main()
