"""Lists of entries, compared with texts: what a text is told without a model.

`whole` says where words end, `segment` has some entries compiled, `matcher` one list of which some entries are new,
and `lists` all lists of a service. Needs the extra `console`: ahocorasick_rs and google-re2.
"""

from .lists import Lists
from .live import LiveLists
from .matcher import Matcher, bad_entries

__all__ = ["Lists", "LiveLists", "Matcher", "bad_entries"]
