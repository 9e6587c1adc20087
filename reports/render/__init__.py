"""Tables to text: Markdown, CSV, LaTeX, HTML, the terminal."""
