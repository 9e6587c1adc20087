"""One file a data set: where its clips are, and what is constant for its benchmark."""
