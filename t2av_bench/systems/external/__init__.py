"""Systems of other people: their code and weights are the user's, what is known of them is data (``specs/ID.toml``)."""
