"""Helpers without knowledge of clips: files, texts, plug-ins, optional packages, workers."""
