#!/usr/bin/env python
"""Write a trained encoder for other tools: the stock toolbox, and ONNX.

The same as ``python -m gcl.tools.export``, which runs from any folder.
"""

from gcl.tools.export import main

if __name__ == "__main__":
    main()
