"""Training data: what is read of a data set, in which order, and by which loaders.

Importing registers the data set of own crops.
"""

from . import own_crops  # noqa: F401
