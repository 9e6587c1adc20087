"""Talker-T2AV (arXiv 2604.23586), standing alone: exact against the release, readable beside the paper.

Read in this order; ``docs/reference_model.md`` walks through it with the equations.

=======================  ==================================================================  ==============
file                     idea                                                                paper
=======================  ==================================================================  ==============
``config``               sizes: ``release``, ``small``, ``tiny``                             3.2, 3.3, 4.1
``arrangement``          how audio and video patches share the sequence                      Table 4
``transformer``          the bidirectional block                                             4.1
``patch_encoder``        P frames to one token                                               3.2
``backbone``             the Qwen3, its cache and its decoding step                          3.2
``diffusion_head``       the velocity network of one modality                                3.3
``flow_matching``        loss, time grid, guidance, Euler sampler                            3.3, 4.2
``stop``                 stop predictor, labels, loss                                        3.2, 3.4
``model``                the weights together                                                3
``motion``               normalisation of motion codes                                       3.2

*training*
``training_forward``     mixed T2AV and TTS samples to three losses                          3.4, 4.1
``training``, ``train``  the training run: data, optimiser, checkpoints, processes           4.1

*generation*
``prompt``               text to token ids                                                   3.2
``recipes``              ``paper`` and ``release``: every inference choice, named            4.2
``generation``           items that go in, patches and results that come out
``plan``                 which patch of an item is given, drawn or absent                    4.2
``row``                  one item while it is generated: its plan, noise, votes to stop
``slot_tokens``          from planned slots to embeddings                                    3.2
``conditions``           what a patch is drawn from besides the hidden state                 3.3
``decoding``             a batch's place in the backbone: padding, positions, window
``sampling``             the one loop for T2AV, A2V, V2A, TTS; batches, streams, windows     3.1, 4.2
``results``              from collected patches to trimmed results
``long_form``            text longer than one sequence
``media_stream``         sound and pictures while they are generated

*speed*
``acceleration``         what can be switched on: packed weights, compilation, CUDA graphs
``paired_heads``         both heads as one batched network
``step_functions``       the networks of a step: plain, compiled or recorded
``cuda_graphs``          recording and replaying a function

*files*
``checkpoints``          loading and saving the model
``names``                the release's state-dict names beside ours
``strict_loading``       reading checkpoints; every name and shape must fit
``transformers_import``  importing transformers beside an unfit torchvision
=======================  ==================================================================  ==============

The model reads and writes latents; ``codecs`` and ``speaker`` turn media into them and back.
"""
