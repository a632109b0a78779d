#!/usr/bin/env python
"""python -m gcl.tools.pretrain_encoder"""

from gcl.tools.pretrain_encoder import main

if __name__ == "__main__":
    main()
