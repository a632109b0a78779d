#!/usr/bin/env python
"""Write the features of a folder of crops.

The same as ``python -m gcl.tools.embed``, which runs from any folder.
"""

from gcl.tools.embed import main

if __name__ == "__main__":
    main()
