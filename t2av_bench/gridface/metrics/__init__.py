"""Stand-ins for published metrics, for GridFace's clips alone."""
