"""Talker-T2AV as a system: its inputs and its weights."""
