"""`orl bench`: what work costs, beside what it needs and what this machine can do."""
