"""Talker-T2AV (arXiv 2604.23586), standing alone: exact against the release, readable beside the paper.

Read in this order:

=====================  ==================================================================  ==============
file                   idea                                                                paper
=====================  ==================================================================  ==============
``config``             sizes: ``release``, ``small``, ``tiny``                             3.2, 3.3, 4.1
``arrangement``        how audio and video patches share the sequence                      Table 4
``transformer``        the bidirectional block                                             4.1
``patch_encoder``      P frames to one token                                               3.2
``backbone``           the Qwen3, its cache and its decoding step                          3.2
``diffusion_head``     the velocity network of one modality                                3.3
``flow_matching``      loss, time grid, guidance, Euler sampler                            3.3, 4.2
``stop``               stop predictor, labels, loss                                        3.2, 3.4
``model``              the weights together                                                3
``training_forward``   mixed T2AV and TTS samples to three losses                          3.4, 4.1
``prompt``             text to token ids                                                   3.2
``recipes``            ``paper`` and ``release``: every inference choice, named            4.2
``plan``               which patch of an item is given, drawn or absent                    4.2
``sampling``           the one loop for T2AV, A2V, V2A, TTS; batches, streams, windows     3.1, 4.2
``long_form``          text longer than one sequence
``checkpoints``        loading and saving; ``names`` translates the release's keys
``acceleration``       packed weights, paired heads, compilation
=====================  ==================================================================  ==============

The model reads and writes latents; ``codecs`` and ``speaker`` turn media into them and back.
"""
