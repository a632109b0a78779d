#!/usr/bin/env python
"""python -m gcl.tools.compare"""

from gcl.tools.compare import main

if __name__ == "__main__":
    main()
