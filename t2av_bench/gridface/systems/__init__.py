"""Systems that make GridFace's clips: trained generators, espeak-ng, and anchors made from real clips."""
