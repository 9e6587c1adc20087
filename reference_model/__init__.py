"""Talker-T2AV (arXiv 2604.23586), standing alone: exact against the release, readable beside the paper.

Read in this order; ``docs/reference_model.md`` walks through it with the equations.

============================  ========================================================  ===============
file                          idea                                                      paper
============================  ========================================================  ===============
``config``                    sizes: ``release``, ``small``, ``tiny``                   3.2, 3.3, 4.1
``arrangement``               how audio and video patches share the sequence            Table 4
``modules.transformer``       the bidirectional block                                   4.1
``modules.patch_encoder``     P frames to one token                                     3.2
``modules.backbone``          the Qwen3, its cache and its decoding step                3.2
``modules.diffusion_head``    the velocity network of one modality                      3.3
``modules.flow_matching``     loss, time grid, guidance, Euler sampler                  3.3, 4.2
``modules.stop_predictor``    stop predictor, labels, loss                              3.2, 3.4
``model``                     the weights together                                      3
``generate``                  joint generation on one page: begin here                  3.1 to 3.3, 4.2

*training*
``training.forward``          mixed T2AV and TTS samples to three losses                3.4, 4.1
``training``, ``train``       the training run: data, optimiser, checkpoints, processes  4.1

*inference*
``inference.prompt``          text to token ids                                         3.2
``inference.recipes``         ``paper`` and ``release``: every inference choice, named  4.2
``inference.types``           items that go in, patches and results that come out
``inference.batched``         the loop for batches, all tasks, prefixes, arrangements   3.1, 4.2
``inference.long_form``       text longer than one sequence

*speed*
``acceleration``              packed weights; compilation, CUDA graphs, paired heads

*files*
``checkpoints``               loading and saving the model
``names``                     the release's state-dict names beside ours
``utils.strict_loading``      reading checkpoints; every name and shape must fit
``utils.transformers``        importing transformers beside an unfit torchvision
============================  ========================================================  ===============

The model reads and writes latents; ``codecs`` and ``speaker`` turn media into them and back.
"""
