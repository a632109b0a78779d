#!/usr/bin/env python
"""python -m gcl.tools.evaluate_views"""

from gcl.tools.evaluate_views import main

if __name__ == "__main__":
    main()
