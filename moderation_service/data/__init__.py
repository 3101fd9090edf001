"""Data sets: many texts at once, without the service. Read, judged in a window, written; errors as rows.

It works on engines directly: no fallback, no fail mode and no policy stands between a text and what is written about
it, because the word of another engine in the midst of a data set would be wrong data. Nothing here is imported by the
service, and nothing of the service is needed here.
"""
