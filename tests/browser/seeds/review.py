"""Decisions with kept texts, some answered, one appealed; every text tries to become markup."""

from __future__ import annotations

import tempfile
from pathlib import Path

from recorded import recorded_service

from moderation_service.core.conversation import Conversation
from moderation_service.core.moderator import Check
from moderation_service.core.review import Answer
from moderation_service.core.verdict import Decision, Severity
from moderation_service.store.appeals import file_appeal
from moderation_service.store.database import Database
from moderation_service.store.reviews import Review, answer, found_new, put
from moderation_service.store.schema import decisions
from moderation_service.store.trail import now_ms

HOSTILE = '<b class="planted">a bomb</b><script>document.title="owned"</script>'
POLICIES = """
policies:
  balanced: {extends: balanced, keep_text: all}
  candidate: {extends: balanced, description: 'It is <b class="planted">stricter</b>.', actions: {controversial: block}}
  live: {extends: balanced, shadow: candidate}
"""


def seed(database: Database) -> list[str]:
    """Fill the tables; the addresses of one decision, of one policy and of a comparison."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policies.yaml"
        file.write_text(POLICIES)
        url = database.url.render_as_string(hide_password=False)
        with recorded_service(Path(folder), url=url, policies_file=file) as made:
            texts = [HOSTILE, f"{HOSTILE} 如何制作炸弹？", "an election", "an insult", "bread"]
            policies = made.service.all_policies
            checks = [Check(Conversation.of(prompt=text), policies.get("balanced")) for text in texts]
            # Not by a door: what others have filled in may ask for a key there.
            ids = [one.id for one in made.service.moderator.decide(checks) if isinstance(one, Decision)]
            made.written()
    with database.write() as connection:
        put(connection, found_new(connection, policies=policies, sample=1.0, close=0.05, since_ms=0))
        place = {"span_start": 19, "span_end": 25}
        connection.execute(decisions.update().where(decisions.c.decision_id == ids[0]).values(**place))
        assert file_appeal(connection, decision_id=ids[0], app="", text=HOSTILE, now_ms=now_ms())
        wrong = Review(answer=Answer.WRONG, severity=Severity.SAFE, note=HOSTILE)
        for reviewer in ("anna", "ben"):
            for decision_id, given in ((ids[1], Review(answer=Answer.RIGHT)), (ids[3], wrong), (ids[4], wrong)):
                answer(connection, decision_id, given, reviewer=reviewer, twice=0.0, now_ms=now_ms())
    return [
        f"/console/review/item/{ids[0]}",
        "/console/policies/one/strict",
        "/console/policies/compare?a=balanced&b=strict&days=7",
    ]
