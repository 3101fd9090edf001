"""A Qwen3 model of Hugging Face's layout as a GGUF file of type Q8_0, with `gguf` and numpy alone.

    python convert.py MODEL_DIR OUT.gguf

Matrices become Q8_0 (blocks of 32 weights as 8-bit numbers and a scale, 1.06 bytes a weight), everything else F32. The
tensors are read from the disk piece by piece, so that the memory it takes does not grow with the model. Names and
metadata are those of llama.cpp's own converter (github.com/ggml-org/llama.cpp, convert_hf_to_gguf.py, Qwen3Model);
that one needs torch and transformers.

Exit code 0: OUT is whole and on the disk. A line on standard error says what is wrong otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

__all__ = ["NotConvertible", "convert", "main"]

_KINDS = {"BF16": "<u2", "F16": "<f2", "F32": "<f4"}
_ROWS_BYTES = 32 * 1024 * 1024
"""Of float32 values that are quantised at a time."""
_BLOCK = 32


class NotConvertible(Exception):
    """The folder is not a model that this program knows."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file, still on the disk."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Of its bytes in the file."""

    def rows(self) -> Iterator[np.ndarray[Any, Any]]:
        """Its values as float32, a few rows at a time; a vector is one row."""
        raw = np.memmap(self.file, _KINDS[self.dtype], "r", self.begin, self.shape)
        table = raw.reshape(-1, self.shape[-1])
        step = max(1, _ROWS_BYTES // (4 * table.shape[1]))
        for start in range(0, table.shape[0], step):
            part = np.array(table[start : start + step])
            if self.dtype == "BF16":
                yield (part.astype(np.uint32) << 16).view(np.float32)
            else:
                yield part.astype(np.float32)

    @property
    def type(self) -> gguf.GGMLQuantizationType:
        """How it is stored."""
        is_matrix = len(self.shape) > 1 and self.shape[-1] % _BLOCK == 0
        return gguf.GGMLQuantizationType.Q8_0 if is_matrix else gguf.GGMLQuantizationType.F32

    def stored(self) -> np.ndarray[Any, Any]:
        """Its bytes as they are stored."""
        parts = [gguf.quants.quantize(rows, self.type) for rows in self.rows()]
        whole = np.concatenate(parts)
        return whole if len(self.shape) > 1 else whole.reshape(-1)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of `stored`."""
        if self.type is gguf.GGMLQuantizationType.F32:
            return self.shape
        return (*self.shape[:-1], *gguf.quant_shape_to_byte_shape(self.shape[-1:], self.type))


def tensors(source: Path) -> Iterator[Tensor]:
    """Those of all safetensors files, in the order of their names."""
    for file in sorted(source.glob("*.safetensors")):
        with file.open("rb") as content:
            size = struct.unpack("<Q", content.read(8))[0]
            if size > file.stat().st_size:
                raise NotConvertible(f"{file.name} is not a safetensors file")
            header = json.loads(content.read(size))
        header.pop("__metadata__", None)
        for name, facts in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            if facts["dtype"] not in _KINDS:
                raise NotConvertible(f"{name} is of type {facts['dtype']}; known are {', '.join(_KINDS)}")
            yield Tensor(name, file, facts["dtype"], tuple(facts["shape"]), 8 + size + facts["data_offsets"][0])


def describe(writer: gguf.GGUFWriter, config: dict[str, Any], name: str) -> None:
    """What the model is made of."""
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or config
    writer.add_name(name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope.get("rope_theta", 1_000_000.0))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_vocabulary(writer: gguf.GGUFWriter, source: Path, config: dict[str, Any]) -> None:
    """Tokens, merges and the chat template."""
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    size = config["vocab_size"]
    words = [f"[PAD{number}]" for number in range(size)]
    types = [int(gguf.TokenType.UNUSED)] * size
    for word, number in tokenizer["model"]["vocab"].items():
        words[number], types[number] = word, int(gguf.TokenType.NORMAL)
    for added in tokenizer["added_tokens"]:
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        words[added["id"]], types[added["id"]] = added["content"], int(kind)
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    end = next(added["id"] for added in tokenizer["added_tokens"] if added["content"] == "<|im_end|>")
    padding = next(added["id"] for added in tokenizer["added_tokens"] if added["content"] == "<|endoftext|>")
    writer.add_bos_token_id(padding)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(padding)
    writer.add_add_bos_token(False)
    writer.add_chat_template(chat_template(source))


def chat_template(source: Path) -> str:
    """The template, a file of its own since transformers 5. Without one the guard's questions can't be made."""
    file = source / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    if not isinstance(template, str):
        raise NotConvertible("it has no chat template")
    return template


def convert(source: Path, target: Path) -> None:
    """Write `target`. Raises NotConvertible, OSError, or what reading a broken file raises."""
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    if config.get("architectures") != ["Qwen3ForCausalLM"]:
        raise NotConvertible(f"it is a {config.get('architectures')}, not a Qwen3ForCausalLM")
    with contextlib.closing(gguf.GGUFWriter(str(target), "qwen3")) as writer:
        describe(writer, config, source.name)
        add_vocabulary(writer, source, config)
        write_tensors(writer, source, config)
        for output in writer.fout or ():
            output.flush()
            os.fsync(output.fileno())


def write_tensors(writer: gguf.GGUFWriter, source: Path, config: dict[str, Any]) -> None:
    """Everything from here on goes to the disk: first what there is, then the weights, one after the other."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    # Tied: the output layer is the table of embeddings, whether or not the file repeats it.
    is_tied = config.get("tie_word_embeddings", False)
    wanted = [one for one in tensors(source) if not (is_tied and one.name == "lm_head.weight")]
    for one in wanted:
        name = names.get_name(one.name, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise NotConvertible(f"{one.name} has no place in a Qwen3")
        shape = one.stored_shape
        is_plain = one.type is gguf.GGMLQuantizationType.F32
        dtype = np.dtype(np.float32 if is_plain else np.uint8)
        writer.add_tensor_info(name, shape, dtype, int(np.prod(shape)) * dtype.itemsize, one.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, one in enumerate(wanted, 1):
        writer.write_tensor_data(one.stored())
        print(f"{number} of {len(wanted)} tensors", flush=True)


def main() -> None:
    """Convert what the command line names."""
    source, target = map(Path, sys.argv[1:])
    try:
        convert(source, target)
    except (NotConvertible, OSError, KeyError, ValueError, TypeError, StopIteration) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        if isinstance(error, OSError) and error.errno is None:
            # numpy tells only how much it could write.
            said = f"No space left on the disk ({said})"
        print(f"{source} can't be converted: {said}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
