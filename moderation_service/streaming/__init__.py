"""Answers that are judged while they grow: by piece, by token, streamed, or sent whole again and again."""
