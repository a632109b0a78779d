#!/usr/bin/env python
"""python -m gcl.tools.pretrain_generator"""

from gcl.tools.pretrain_generator import main

if __name__ == "__main__":
    main()
