"""Making the weights that come with the package: the encoder, the view generator and the structure
estimator."""
