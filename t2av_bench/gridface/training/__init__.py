"""How every model in the checkpoints was made."""
