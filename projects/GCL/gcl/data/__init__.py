"""Training data: what is read of a data set, in which order, and by which loaders."""
