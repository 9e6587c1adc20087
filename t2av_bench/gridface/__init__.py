"""GridFace, the benchmark that comes with the package: real synthetic speech and a drawn face that moves with it.

``speech`` says a text, gives phoneme times and turns them into motion; ``portrait`` draws the motion; ``data`` keeps
the clips. ``models`` are its codecs and networks, ``extractors``, ``metrics`` and ``systems`` what is built on them,
``training`` how they were made, ``validation`` what they are worth. Every part is seeded, licence-free and needs no
download.
"""
