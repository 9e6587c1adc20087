"""The sampling loop for batches: every task, prefix and arrangement, items side by side, nothing computed twice.

:mod:`reference_model.generate` tells the same for one item on a page; begin there. Then, in this order: ``sampling``
(the loop), ``plan`` (which patch of an item is given, drawn or absent), ``sequence_state`` (one item while it is
generated), ``slot_tokens`` (from planned slots to embeddings), ``conditions`` (what a patch is drawn from besides the
hidden state), ``decoding`` (the batch's place in the backbone), ``results`` (trimmed patches and items).
"""
