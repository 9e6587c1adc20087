"""What GridFace's metrics see and hear: pictures, features, sync and words."""
