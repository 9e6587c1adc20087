"""Training (section 3.4): latents on disk, or made on the spot, to a checkpoint that the sampling loop loads.

    python -m reference_model.train tiny output=runs/tiny       # a packaged configuration, with an override
    python -m reference_model.train CONFIG.toml --resume        # continue where the last checkpoint is
    torchrun --nproc-per-node 8 -m reference_model.train CONFIG.toml --resume

=================  ====================================================================================
file               idea
=================  ====================================================================================
``config``         one strict TOML file; ``paper``, ``release`` and ``tiny`` are packaged
``samples``        what one sample is, and where samples come from: a source
``shards``         the file format: ``write_shards`` and ``ShardSource``
``synthetic``      a small task that can be learnt anywhere, without data
``sources``        the sources that a configuration names
``batch_plan``     which samples make which step, on which process
``layout``         how many tokens, flow-matching rows and stop labels a sample has, from its lengths
``collate``        samples to padded tensors, with every index and random number of the losses
``micro_batch``    those tensors
``loader``         the above in background processes
``forward``        from a micro-batch to hidden states and to the rows that the heads are trained on
``objective``      the losses, split over micro-batches and processes without changing their sum
``validation``     the same losses on held-out samples
``loop``           :func:`~.loop.train`: what the reference adds to a run
``run``            the loop itself: steps, validations, checkpoints; the baselines train in it too
``processes``      accelerate's ``Accelerator`` for the block of a run; Ctrl-C and SIGTERM
``optimisation``   AdamW, learning rate, moving average of the weights
``run_state``      checkpoints: written whole or not at all, read back bit for bit
``journal``        metrics as JSON Lines and to TensorBoard or W&B, progress on stderr
=================  ====================================================================================

Two properties hold everything together. What a step trains on, and every random number in it, is a function of
(seed, step, position in the batch): so the state of a run is its weights and its step, and data workers, gradient
accumulation and the number of processes do not change the result beyond rounding. And each loss is divided by the
counts of the whole batch, not of the part at hand: so splitting a batch leaves its gradient as it was.
"""
