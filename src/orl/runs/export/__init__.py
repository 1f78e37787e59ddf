"""`orl export`: a policy as files that need no orl, proven before they appear."""
