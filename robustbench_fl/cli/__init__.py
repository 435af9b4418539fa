"""The command line: parse, call, print.

May import every other room; no room imports it.
"""
