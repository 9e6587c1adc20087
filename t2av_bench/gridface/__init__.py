"""The embedded talking-portrait benchmark: real synthetic speech and a drawn face that moves with it.

``speech`` says a text and gives phoneme times, ``visemes`` turns phonemes into motion, ``portrait`` draws the motion.
Every part is seeded, licence-free and needs no download.
"""
