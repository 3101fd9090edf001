"""Texts as they are meant and not as they are written: normal and decoded views, with places in the original.

`normal` folds forms that look or count the same; `decoded` undoes disguise. Pure: tables come with the code or are
handed in.
"""
