from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
from fakes import verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation_service.config.policy_file import load_policies
from moderation_service.core.policy import BUILT_IN, LiteBlocks, OnFailure, Policies, Policy, Thresholds
from moderation_service.core.verdict import Action, Category, Coverage, Severity, Target
from moderation_service.errors import ConfigurationError

SAFE, CONTROVERSIAL, UNSAFE = Severity
PROMPT, RESPONSE = Target


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policies.yaml"


def load(file: Path, text: str, *, default: str = "balanced") -> Policies:
    file.write_text(dedent(text), encoding="utf-8")
    return load_policies(file, default=default)


def one(file: Path, text: str) -> Policy:
    """The policy `own` whose fields are this text."""
    indented = "".join(f"    {line}\n" for line in dedent(text).strip().splitlines())
    return load(file, f"policies:\n  own:\n{indented}").get("own")


def test_a_file_that_is_nested_too_deeply_is_refused_at_its_line(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"policies\.yaml:2: not valid YAML: it is nested too deeply\."):
        load(file, "policies:\n  own: " + "[" * 100 + "]" * 100)
    with pytest.raises(ConfigurationError, match="must be a mapping"):
        load(file, "policies:\n  own: " + "[" * 90 + "]" * 90)


def actions(policy: Policy, target: Target = PROMPT, *categories: Category) -> list[str]:
    return [policy.action(verdict(severity, *categories, target=target)).value for severity in Severity]


def complaint(file: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(file, text)
    message = str(caught.value)
    assert message.startswith(f"{file}:")
    return message.removeprefix(f"{file}:")


def field_complaint(file: Path, text: str) -> str:
    """The complaint about a field of a policy; its first line is line 3 of the file."""
    with pytest.raises(ConfigurationError) as caught:
        one(file, text)
    return str(caught.value).removeprefix(f"{file}:")


# What a file can say


def test_unknown_languages_and_unsure_blocks_can_be_ruled_for_each_target(file: Path) -> None:
    own = one(file, "on_uncovered: flag\nlite_blocks: sure\nresponse: {on_uncovered: block}")
    assert [own.rules[target].on_uncovered for target in Target] == [Action.FLAG, Action.BLOCK]
    assert {own.rules[target].lite_blocks for target in Target} == {LiteBlocks.SURE}
    assert own.action(verdict(coverage=Coverage.NONE)) is Action.FLAG


def test_a_policy_inherits_them(file: Path) -> None:
    text = """
        policies:
          first: {on_uncovered: block, lite_blocks: sure}
          second: {extends: first, actions: {controversial: block}}
        """
    rules = load(file, text).get("second").rules[PROMPT]
    assert (rules.on_uncovered, rules.lite_blocks) == (Action.BLOCK, LiteBlocks.SURE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("on_uncovered: ignore", "3: `on_uncovered` must be one of allow, flag, block, not 'ignore'."),
        ("lite_blocks: never", "3: `lite_blocks` must be one of always, sure, not 'never'."),
        ("lite_blocks: [sure]", "3: `lite_blocks` must be a single value."),
    ],
)
def test_another_word_for_them_is_refused(file: Path, text: str, reason: str) -> None:
    assert field_complaint(file, text) == reason


def test_without_a_file_there_are_the_built_in_policies() -> None:
    assert [policy.name for policy in load_policies(None, default="strict")] == list(BUILT_IN)


def test_policies_of_the_file_join_the_built_in_ones(file: Path) -> None:
    policies = load(file, "policies: {kids: {extends: strict, description: For children.}}", default="kids")
    assert [policy.name for policy in policies] == ["strict", "balanced", "loose", "kids"]
    assert policies.get(None).description == "For children."
    assert policies.get(None).rules == BUILT_IN["strict"].rules


def test_a_policy_that_extends_nothing_is_based_on_balanced(file: Path) -> None:
    own = one(file, "on_failure: lite")
    assert (own.rules, own.messages) == (BUILT_IN["balanced"].rules, BUILT_IN["balanced"].messages)
    assert own.description == "Based on balanced."


def test_a_policy_may_extend_one_above_it_and_replace_a_built_in_one(file: Path) -> None:
    policies = load(
        file,
        """
        policies:
          loose:
            extends: loose
            actions: {controversial: flag}
          looser:
            extends: loose
            actions: {unsafe: flag}
        """,
    )
    assert actions(policies.get("loose")) == ["allow", "flag", "block"]
    assert actions(policies.get("looser")) == ["allow", "flag", "flag"]


def test_streamed_answers_are_held_unless_the_policy_says_otherwise(file: Path) -> None:
    policies = load(
        file,
        """
        policies:
          fast: {streaming: show-then-cut}
          faster: {extends: fast}
          slow: {extends: fast, streaming: hold}
        """,
    )
    found = {name: policies.get(name).streaming.value for name in ("balanced", "fast", "faster", "slow")}
    assert found == {"balanced": "hold", "fast": "show-then-cut", "faster": "show-then-cut", "slow": "hold"}


def test_every_field_does_what_it_says(file: Path) -> None:
    own = one(
        file,
        """
        description: Everything at once.
        extends: loose
        actions: {controversial: flag}
        categories:
          pii: block
          copyright_violation: {unsafe: flag}
        thresholds: {controversial: 0.3, unsafe: 0.8}
        on_failure: {prompt: block, response: error}
        message: {en: "No.", zh-CN: 不行。}
        response:
          actions: {unsafe: flag}
          categories: {pii: {controversial: allow}}
          thresholds: {unsafe: 1}
        """,
    )
    assert own.description == "Everything at once."
    assert dict(own.messages) == {"en": "No.", "zh-cn": "不行。"}
    assert actions(own) == ["allow", "flag", "block"]
    assert actions(own, PROMPT, Category.PII) == ["allow", "block", "block"]
    assert actions(own, PROMPT, Category.COPYRIGHT_VIOLATION) == ["allow", "flag", "flag"]
    assert actions(own, RESPONSE) == ["allow", "flag", "flag"]
    assert actions(own, RESPONSE, Category.PII) == ["allow", "allow", "block"]
    assert own.rules[PROMPT].thresholds == Thresholds(0.3, 0.8)
    assert own.rules[RESPONSE].thresholds == Thresholds(0.3, 1.0)
    assert own.rules[PROMPT].on_failure is OnFailure.BLOCK
    assert own.rules[RESPONSE].on_failure is OnFailure.ERROR


def test_a_fail_mode_for_one_target_leaves_the_other_as_it_was(file: Path) -> None:
    own = one(file, "on_failure: {response: allow}")
    assert [own.rules[target].on_failure for target in Target] == [OnFailure.LITE, OnFailure.ALLOW]


def test_a_message_without_a_language_is_english(file: Path) -> None:
    assert dict(one(file, "message: '  Not here.  '").messages) == {"en": "Not here."}


def test_norway_is_a_language_and_not_false(file: Path) -> None:
    own = one(file, "message: {no: Beklager., en: Sorry.}")
    assert own.message(("no",)) == "Beklager."


def test_words_that_yaml_reads_as_truth_or_numbers_stay_words(file: Path) -> None:
    policies = load(file, "policies: {on: {description: yes}, 1e3: {description: 012, message: 3.10}}")
    assert [(policy.name, policy.description) for policy in policies][3:] == [("on", "yes"), ("1e3", "012")]
    assert policies.get("1e3").message() == "3.10"


def test_anchors_and_aliases_may_be_used(file: Path) -> None:
    policies = load(
        file,
        """
        policies:
          one: {actions: &quiet {controversial: allow}}
          two: {actions: *quiet}
        """,
    )
    assert actions(policies.get("two")) == ["allow", "allow", "block"]


# What is wrong with a file


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.yaml", "can't be read: No such file or directory."),
        (tmp_path, "can't be read: Is a directory."),
    ):
        with pytest.raises(ConfigurationError) as caught:
            load_policies(path, default="balanced")
        assert str(caught.value) == f"{path}: {reason}"


def test_a_file_that_is_not_text_is_named(file: Path) -> None:
    file.write_bytes(b"policies: \xff\xfe")
    with pytest.raises(ConfigurationError) as caught:
        load_policies(file, default="balanced")
    assert str(caught.value) == f"{file}: is not UTF-8 text."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: the file is empty; it needs a mapping `policies`."),
        ("# only a comment\n", "1: the file is empty; it needs a mapping `policies`."),
        ("\n- a\n", "2: the file must be a mapping."),
        ("{}", "1: the file needs a mapping `policies`."),
        ("\npolicy: {}\n", "2: the file has an unknown field 'policy'; it takes policies."),
        ("policies: {}\npolicies: {}\n", "2: the file has 'policies' twice."),
        ("policies:\n", "1: `policies` must be a mapping."),
        ("policies:\n  - own\n", "2: `policies` must be a mapping."),
        ("policies:\n  a: {}\n  a: {}\n", "3: `policies` has 'a' twice."),
        ("policies:\n  Own: {}\n", "2: policy name 'Own': use up to 64 of a-z, 0-9, '-' and '_'."),
        ("policies:\n  '': {}\n", "2: policy name '': use up to 64 of a-z, 0-9, '-' and '_'."),
        ("policies:\n  null: {}\n", "2: a key of `policies` must be a single value."),
        ("policies:\n  ? [a]\n  : {}\n", "2: a key of `policies` must be a single value."),
        ("policies:\n  own: strict\n", "2: policy 'own' must be a mapping."),
        ("policies:\n  own:\n", "2: policy 'own' must be a mapping."),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_line(file: Path, text: str, expected: str) -> None:
    assert complaint(file, text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("policies: {own: {}\n", 2),
        ("policies:\n\town: {}\n", 2),
        ("a: b: c\n", 1),
        ("a: *nobody\n", 1),
        ("a\n---\nb", 2),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_with_its_line(file: Path, text: str, line: int) -> None:
    assert complaint(file, text).startswith(f"{line}: not valid YAML: ")


def test_a_file_with_control_characters_is_refused(file: Path) -> None:
    file.write_text("policies: \x07", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not valid YAML: unacceptable character"):
        load_policies(file, default="balanced")


RULE_FIELDS = "actions, categories, thresholds, on_failure, on_uncovered, lite_blocks, cascade"
SHOWN, KEPT = "description, extends, message, streaming", "keep_text, retention_days"
FIELDS = f"{SHOWN}, {RULE_FIELDS}, prompt, response, tools, {KEPT}, escalation, shadow, lists, answers"
CATEGORIES = ", ".join(category.value for category in Category)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("extends: loose\naction: {}", f"4: policy 'own' has an unknown field 'action'; it takes {FIELDS}."),
        ("<<: {actions: {}}", f"3: policy 'own' has an unknown field '<<'; it takes {FIELDS}."),
        ("extends: nobody", "3: `extends`: no policy 'nobody' is built in or defined above."),
        ("extends: own", "3: `extends`: no policy 'own' is built in or defined above."),
        ("extends: [strict]", "3: `extends` must be a single value."),
        ("extends:", "3: `extends` must be a single value."),
        ("description: {a: b}", "3: `description` must be a single value."),
        ("actions: block", "3: `actions` must be a mapping."),
        (
            "actions:\n  safe: allow\n  bad: block",
            "5: `actions` has an unknown field 'bad'; it takes safe, controversial, unsafe.",
        ),
        ("actions: {unsafe: deny}", "3: `actions.unsafe` must be one of allow, flag, block, not 'deny'."),
        ("actions: {unsafe: Block}", "3: `actions.unsafe` must be one of allow, flag, block, not 'Block'."),
        ("actions: {unsafe: }", "3: `actions.unsafe` must be a single value."),
        ("actions: {unsafe: flag, unsafe: block}", "3: `actions` has 'unsafe' twice."),
        ("categories: [pii]", "3: `categories` must be a mapping."),
        ("categories:\n  PII: block", f"4: unknown category 'PII'; the categories are {CATEGORIES}."),
        ("categories: {pii: 1}", "3: `categories.pii` must be one of allow, flag, block, not '1'."),
        ("categories: {pii: {unsafe: no}}", "3: `categories.pii.unsafe` must be one of allow, flag, block, not 'no'."),
        ("categories: {pii: [block]}", "3: `categories.pii` must be a mapping."),
        ("thresholds: 0.5", "3: `thresholds` must be a mapping."),
        ("thresholds: {safe: 0.5}", "3: `thresholds` has an unknown field 'safe'; it takes controversial, unsafe."),
        ("on_failure: fail", "3: `on_failure` must be one of lite, block, flag, allow, error, not 'fail'."),
        ("on_failure: {all: lite}", "3: `on_failure` has an unknown field 'all'; it takes prompt, response."),
        ("streaming: show", "3: `streaming` must be one of hold, show-then-cut, not 'show'."),
        (
            "on_failure: {prompt: x}",
            "3: `on_failure.prompt` must be one of lite, block, flag, allow, error, not 'x'.",
        ),
        ("on_failure: [lite]", "3: `on_failure` must be a single value."),
        ("message: {}", "3: `message` needs a text, or at least one language with its text."),
        ("message: {english: x}", "3: `message`: 'english' is no language tag such as en or zh-CN."),
        ("message: {zh_CN: x}", "3: `message`: 'zh_CN' is no language tag such as en or zh-CN."),
        ("message: ' '", "3: `message` must have 1 to 2000 characters."),
        ("message: {en: ''}", "3: `message` must have 1 to 2000 characters."),
        ("message: [x]", "3: `message` must be a mapping."),
        ("message: {zh-CN: a, zh-cn: b}", "3: `message` has the language 'zh-cn' twice."),
        ("message: " + "x" * 2001, "3: `message` must have 1 to 2000 characters."),
        ('message: "a\\ud800"', "3: `message` has a lone surrogate, which is not valid Unicode."),
        ("prompt: strict", "3: `prompt` must be a mapping."),
        ("response: {message: x}", f"3: `response` has an unknown field 'message'; it takes {RULE_FIELDS}."),
        ("response: {actions: {unsafe: x}}", "3: `actions.unsafe` must be one of allow, flag, block, not 'x'."),
    ],
)
def test_a_field_with_a_mistake_is_refused_with_its_line_and_the_reason(file: Path, text: str, expected: str) -> None:
    assert field_complaint(file, text) == expected


@pytest.mark.parametrize("bound", ["0", "-0.1", "1.01", "nan", ".nan", "inf", "half", "50%", "''", "true"])
def test_a_threshold_must_be_a_probability(file: Path, bound: str) -> None:
    expected = "3: `thresholds.unsafe` must be a number above 0 and at most 1, not "
    assert field_complaint(file, f"thresholds: {{unsafe: {bound}}}").startswith(expected)


def test_the_default_policy_must_exist(file: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(file, "policies: {kids: {}}", default="kid")
    assert str(caught.value) == "default_policy: there is no policy 'kid'; there are balanced, kids, loose, strict."


# Properties

names = st.sampled_from(["allow", "flag", "block"])
severities = st.sampled_from(["safe", "controversial", "unsafe"])
categories = st.sampled_from([category.value for category in Category])
overrides = st.dictionaries(categories, names | st.dictionaries(severities, names), max_size=4)


def flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    return str(value)


@given(
    own=overrides,
    found=st.lists(st.sampled_from(Category), unique=True, max_size=3),
    severity=st.sampled_from(Severity),
    target=st.sampled_from(Target),
)
@settings(max_examples=40)
def test_the_same_file_on_a_stricter_base_never_decides_more_mildly(
    tmp_path_factory: pytest.TempPathFactory,
    own: dict[str, object],
    found: list[Category],
    severity: Severity,
    target: Target,
) -> None:
    file = tmp_path_factory.getbasetemp() / "monotone.yaml"
    lines = [f"  {name}-own: {{extends: {name}, categories: {flow(own)}}}" for name in BUILT_IN]
    policies = load(file, "policies:\n" + "\n".join(lines))
    judged = verdict(severity, *found, target=target)
    ranks = [policies.get(f"{name}-own").action(judged).rank for name in ("loose", "balanced", "strict")]
    assert ranks == sorted(ranks)


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.binary(max_size=40))
def test_any_file_is_policies_or_a_complaint_that_names_it(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        load_policies(file, default="balanced")
    except ConfigurationError as error:
        assert str(error).startswith(str(file))


def test_actions_are_the_only_thing_a_shorthand_category_changes(file: Path) -> None:
    own = one(file, "categories: {violent: allow}")
    assert own.rules[PROMPT].categories == {Category.VIOLENT: {CONTROVERSIAL: Action.ALLOW, UNSAFE: Action.ALLOW}}
    assert own.rules[PROMPT].actions == BUILT_IN["balanced"].rules[PROMPT].actions
    assert SAFE not in own.rules[PROMPT].categories[Category.VIOLENT]


def test_tools_have_rules_of_their_own(file: Path) -> None:
    policies = load(
        file,
        """
        policies:
          agents:
            extends: strict
            tools:
              "mail_*":
                categories: {pii: block}
                result: {actions: {controversial: flag}}
              drop_table: {call: {actions: {safe: block}}}
          more:
            extends: agents
            tools:
              "*": {on_failure: block}
              "mail_*": {actions: {controversial: allow}}
        """,
    )
    agents, more = policies.get("agents"), policies.get("more")
    mail = agents.for_tool("mail_send")
    assert mail is not None
    assert mail.call.categories[Category.PII] == {Severity.CONTROVERSIAL: Action.BLOCK, Severity.UNSAFE: Action.BLOCK}
    assert (mail.call.actions[Severity.CONTROVERSIAL], mail.result.actions[Severity.CONTROVERSIAL]) == (
        Action.BLOCK,
        Action.FLAG,
    )
    assert agents.for_tool("drop_table").call.actions[Severity.SAFE] is Action.BLOCK  # type: ignore[union-attr]
    assert agents.for_tool("search") is None
    assert [one.glob for one in more.tools] == ["*", "mail_*", "drop_table"]
    assert more.tools[1].call.categories, "what it extends stays"
    assert more.to_json()["tools"]["*"]["call"]["on_failure"] == "block"  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ("[a]", "`tools` must be a mapping"),
        ("{a: block}", "`tools.a` must be a mapping"),
        ("{a: {calls: {}}}", "`tools.a` has an unknown field 'calls'"),
        ("{a: {call: {call: {}}}}", "`tools.a.call` has an unknown field 'call'"),
        ("{'': {}}", "`tools`: a glob has 1 to 128 printable characters"),
    ],
)
def test_a_mistake_in_the_rules_for_tools_is_told(file: Path, tools: str, reason: str) -> None:
    assert reason in complaint(file, f"policies: {{own: {{tools: {tools}}}}}")


def test_shadow_policies_may_stand_anywhere_in_the_file_and_are_not_inherited(file: Path) -> None:
    policies = load(
        file,
        """
        policies:
          live: {extends: balanced, shadow: [candidate, strict]}
          heir: {extends: live}
          candidate: {extends: loose, shadow: live}
        """,
    )
    assert [one.name for one in policies.get("live").shadow] == ["candidate", "strict"]
    assert policies.get("heir").shadow == ()
    assert policies.get("live").to_json()["shadow"] == ["candidate", "strict"]


@pytest.mark.parametrize(
    ("shadow", "reason"),
    [
        ("nobody", "3: `shadow`: policy 'nobody' is neither built in nor in this file"),
        ("own", "3: `shadow`: policy 'own' is this policy itself"),
        ("[strict, strict]", "3: `shadow` names up to 4 policies, each once"),
        ("{strict: x}", "3: `shadow` must be a single value"),
    ],
)
def test_a_shadow_that_is_none_is_refused(file: Path, shadow: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(reason)):
        one(file, f"shadow: {shadow}")
