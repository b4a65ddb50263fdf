"""Races, crashes and waits: programs as data, run in every order on a real PostgreSQL."""
