"""`orl report`: run folders gathered into one plain document, its figures, and the page that shows both.

`sources` reads folders, `gather` makes the document of them, `figures` and `sections` show it, `page` is the file.
"""
