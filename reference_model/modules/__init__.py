"""The networks that the model is made of."""
