"""The conversion to GGUF: the weights to within their rounding, the vocabulary and the template exactly."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf", reason="the extra `dev` brings it")

from moderation_service.launch.inside.convert import NotConvertible, convert  # noqa: E402

TINY_GUARD = Path(__file__).parents[2] / "examples" / "tiny-guard" / "model"


def read_safetensors(file):
    raw = file.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    return header, raw[8 + size :]


def write_safetensors(file, tensors):
    """Tensors as (type, shape, bytes) by name."""
    header, content = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(content), len(content) + len(data)]}
        content += data
    head = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(head)) + head + content)


def tensors_of(file):
    header, content = read_safetensors(file)
    return {
        name: (facts["dtype"], facts["shape"], content[slice(*facts["data_offsets"])]) for name, facts in header.items()
    }


def values(dtype, shape, data):
    assert dtype == "BF16"
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(TINY_GUARD, tmp_path / "model"))


def converted(model):
    target = model.parent / "out.gguf"
    convert(model, target)
    return gguf.GGUFReader(target)


def field(reader, name):
    return reader.get_field(name).contents()


def test_every_weight_is_there_to_within_the_rounding_of_8_bits(model):
    reader = converted(model)
    found = {tensor.name: tensor for tensor in reader.tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 2)
    source = tensors_of(model / "model.safetensors")
    assert len(found) == len(source)
    for name, (dtype, shape, data) in source.items():
        tensor = found[names.get_name(name, try_suffixes=(".weight",))]
        wanted = values(dtype, shape, data)
        got = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        if len(shape) == 1:
            assert tensor.tensor_type == gguf.GGMLQuantizationType.F32
            assert np.array_equal(got, wanted)
        else:
            assert tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0
            blocks = np.abs(wanted.reshape(-1, 32)).max(axis=1, keepdims=True)
            # Half a step of 1/127 of the block's largest, and the scale itself has 11 bits.
            assert (np.abs(got - wanted).reshape(-1, 32) <= blocks / 127 * 0.5 + blocks * 2**-10).all()


def test_the_vocabulary_the_merges_and_the_template_are_the_models(model):
    reader = converted(model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    config = json.loads((model / "config.json").read_text())
    words, kinds = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    assert len(words) == len(kinds) == config["vocab_size"]
    assert {word: words.index(word) for word in tokenizer["model"]["vocab"]} == tokenizer["model"]["vocab"]
    for added in tokenizer["added_tokens"]:
        assert words[added["id"]] == added["content"]
        assert kinds[added["id"]] == (gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED)
    assert field(reader, "tokenizer.ggml.merges") == [" ".join(merge) for merge in tokenizer["model"]["merges"]]
    assert field(reader, "tokenizer.ggml.pre") == "qwen2"
    assert words[field(reader, "tokenizer.ggml.eos_token_id")] == "<|im_end|>"
    assert field(reader, "tokenizer.chat_template") == (model / "chat_template.jinja").read_text()
    assert field(reader, "general.file_type") == gguf.LlamaFileType.MOSTLY_Q8_0
    assert field(reader, "qwen3.rope.freq_base") == 1_000_000


def test_a_template_in_the_tokenizers_configuration_is_found_and_a_missing_one_refused(model):
    template = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").unlink()
    with pytest.raises(NotConvertible, match="no chat template"):
        converted(model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    assert field(converted(model), "tokenizer.chat_template") == template


def test_a_model_in_several_files_is_the_same_model(model):
    whole = {tensor.name: tensor.data.tobytes() for tensor in converted(model).tensors}
    source = list(tensors_of(model / "model.safetensors").items())
    (model / "model.safetensors").unlink()
    for number, part in enumerate((source[:9], source[9:]), 1):
        write_safetensors(model / f"model-0000{number}-of-00002.safetensors", dict(part))
    assert {tensor.name: tensor.data.tobytes() for tensor in converted(model).tensors} == whole


def test_an_output_layer_of_its_own_is_kept_and_a_tied_one_is_left_out(model):
    source = tensors_of(model / "model.safetensors")
    write_safetensors(model / "model.safetensors", {**source, "lm_head.weight": source["model.embed_tokens.weight"]})
    assert "output.weight" not in {tensor.name for tensor in converted(model).tensors}
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    assert "output.weight" in {tensor.name for tensor in converted(model).tensors}


@pytest.mark.parametrize("dtype", ["F16", "F32"])
def test_weights_of_other_types_are_read(model, dtype):
    kind = {"F16": "<f2", "F32": "<f4"}[dtype]
    source = tensors_of(model / "model.safetensors")
    write_safetensors(
        model / "model.safetensors",
        {name: (dtype, one[1], values(*one).astype(kind).tobytes()) for name, one in source.items()},
    )
    norm = next(tensor for tensor in converted(model).tensors if tensor.name == "output_norm.weight")
    assert np.allclose(norm.data, values(*source["model.norm.weight"]), rtol=1e-3)


def test_what_is_no_such_model_is_refused_by_name(model):
    source = tensors_of(model / "model.safetensors")
    write_safetensors(model / "model.safetensors", {**source, "model.vision.weight": ("BF16", [1], b"\0\0")})
    with pytest.raises(NotConvertible, match=r"model\.vision\.weight has no place in a Qwen3"):
        converted(model)
    write_safetensors(model / "model.safetensors", {"model.norm.weight": ("I8", [1], b"\0")})
    with pytest.raises(NotConvertible, match="of type I8"):
        converted(model)
    (model / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(NotConvertible, match="is not a safetensors file"):
        converted(model)
