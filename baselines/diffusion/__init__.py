"""What the non-autoregressive baselines share: diffusion transformers that denoise all positions of a clip together.

=================  ====================================================================================
file               idea
=================  ====================================================================================
``config``         sizes of a network, and everything about a training run
``batch``          clips of different lengths as one padded batch
``attention``      attention from one sequence to another; rotary positions
``text``           words to tokens, their durations and with them the clip's length and their places in it
``tower``          one modality's diffusion transformer
``network``        what a baseline's network offers: conditions once, velocities at every time
``objective``      flow-matching and length losses
``items``          what a network is asked for, checked and batched
``sampling``       noise to clips, with guidance
``training``       :func:`~.training.train`
=================  ====================================================================================

Latents, flow matching (time 1 is noise, velocity = noise - data), time grid, guidance, optimiser and batches are the
reference model's own: a comparison should differ in the architecture alone.
"""
