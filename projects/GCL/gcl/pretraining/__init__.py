"""Making the weights that come with the package: the view generator and the structure estimator."""
