#!/usr/bin/env python
"""Make the result of a finished run anew: clusters, embeddings, calibration and report.html.

The same as ``python -m gcl.tools.report``, which runs from any folder.
"""

from gcl.tools.report import main

if __name__ == "__main__":
    main()
