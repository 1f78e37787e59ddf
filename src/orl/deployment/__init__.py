"""Policies that leave the house: the acting policy as a small computation, and its writers. No file is touched here."""
