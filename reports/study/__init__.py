"""A blind A/B study of clips, and its analysis.

``design`` chooses who sees which pair, ``make`` writes the page and its key, ``answers`` reads what participants sent
back, ``bradley_terry`` fits scores, and ``merge`` turns all answers into a table with intervals.
"""
