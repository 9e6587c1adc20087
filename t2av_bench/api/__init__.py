"""What ``import t2av_bench`` offers, one file a task; ``t2av_bench/__init__`` loads the names on first use."""
