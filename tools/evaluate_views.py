#!/usr/bin/env python
"""Judge generated views by photographs of the same person from the side that they show.

The same as ``python -m gcl.tools.evaluate_views``, which runs from any folder.
"""

from gcl.tools.evaluate_views import main

if __name__ == "__main__":
    main()
