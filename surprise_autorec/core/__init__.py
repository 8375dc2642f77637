"""The sparse autoencoder: ratings in, trained factors out. Knows neither Surprise nor scikit-learn."""
