"""A run on disk: its database, its features, and what two runs are compared by."""
