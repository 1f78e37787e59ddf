"""What the site needs beyond Sphinx: settings from code, house docstrings, MathML, pictures that follow the theme."""
