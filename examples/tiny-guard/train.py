"""Train tiny-guard from scratch: a 0.45 M parameter Qwen3 that answers like Qwen3Guard-Gen on what data.py holds.

    OMP_NUM_THREADS=1 python train.py --out model

Every epoch sees all examples and fresh long texts, so that a bad sentence is found wherever it stands.
"""

import argparse
import pathlib
import random
import time

import build_tokenizer
import jinja2
import torch
from data import FILLER, NEEDLES, examples, long_examples
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

HERE = pathlib.Path(__file__).resolve().parent


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True, help="directory to write the model to")
    p.add_argument("--vocab", choices=("pruned", "full"), default="pruned")
    p.add_argument("--hidden", type=int, default=128)
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--epochs", type=int, default=75, help="upper bound; training stops early")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--threads", type=int, default=1, help="more than 1 is slower on a busy machine")
    p.add_argument("--stop-loss", type=float, default=0.001)
    p.add_argument("--long", type=int, default=48, help="fresh long texts per epoch")
    p.add_argument("--max-sentences", type=int, default=34, help="of a long text")
    return p.parse_args()


def make_tokenizer(mode, template, data):
    render = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template).render
    texts = [render(messages=messages) for messages, _ in data] + [completion for _, completion in data]
    texts.append(" ".join([*FILLER, *NEEDLES.values(), *FILLER]))
    tok = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer.build(mode, texts),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
    )
    tok.chat_template = template
    return tok


def to_rows(tok, data):
    """Token ids of prompt and answer of each example."""
    rows = []
    for messages, completion in data:
        prompt = tok.apply_chat_template(messages, tokenize=False)
        rows.append(
            (
                tok(prompt, add_special_tokens=False)["input_ids"],
                tok(completion + "<|im_end|>", add_special_tokens=False)["input_ids"],
            )
        )
    return rows


def make_model(tok, args, *, bos, eos):
    """A Qwen3 of a few hundred thousand parameters, with weights that the seed decides."""
    config = Qwen3Config(
        vocab_size=151936 if args.vocab == "full" else (len(tok) + 63) // 64 * 64,
        hidden_size=args.hidden,
        intermediate_size=2 * args.hidden,
        num_hidden_layers=args.layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=32768,
        rope_theta=1000000.0,
        tie_word_embeddings=True,
        bos_token_id=bos,
        eos_token_id=eos,
    )
    torch.manual_seed(0)
    random.seed(0)
    torch.set_num_threads(args.threads)
    return Qwen3ForCausalLM(config).float()


def fit(model, tok, data, args):
    """Train until the loss is small: all of `data` in every epoch, and long texts that are new in each."""
    # The last two, with two categories each, are the only ones of their kind: seen more often to be kept apart.
    known = to_rows(tok, data + data[-2:] * 3)
    batches = (len(known) + args.long + args.batch - 1) // args.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=args.epochs * batches, pct_start=0.1)

    model.train()
    began = time.time()
    for epoch in range(1, args.epochs + 1):
        rows = known + to_rows(tok, long_examples(args.long, seed=epoch, max_sentences=args.max_sentences))
        total = 0.0
        for batch in shuffled_batches(rows, args.batch):
            loss = completion_loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        if epoch == 1 or epoch % 5 == 0:
            print(f"epoch {epoch}: loss {total / batches:.4f}, {time.time() - began:.0f} s", flush=True)
        if total / batches < args.stop_loss:
            print("stopped early after epoch", epoch)
            break


def shuffled_batches(rows, size):
    """Batches in random order, of texts of like length, or the padding costs more than the texts."""
    random.shuffle(rows)
    rows.sort(key=lambda row: len(row[0]) // 64)
    groups = [rows[i : i + size] for i in range(0, len(rows), size)]
    random.shuffle(groups)
    return groups


def completion_loss(model, batch):
    """The cross-entropy of the completions; the prompts are read, not learned."""
    width = max(len(p) + len(c) for p, c in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    labels = torch.full((len(batch), width), -100)
    for j, (p, c) in enumerate(batch):
        row = torch.tensor(p + c)
        ids[j, : len(row)] = row
        labels[j, len(p) : len(row)] = row[len(p) :]
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    target = labels[:, 1:]
    mask = target != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[mask]), target[mask])


@torch.no_grad()
def count_exact(model, tok, data, *, pad):
    """How many completions the model gives word for word; prints the others."""
    exact = 0
    for messages, completion in data:
        enc = tok(tok.apply_chat_template(messages, tokenize=False), return_tensors="pt", add_special_tokens=False)
        out = model.generate(
            input_ids=enc["input_ids"],
            attention_mask=enc["attention_mask"],
            max_new_tokens=64,
            do_sample=False,
            pad_token_id=pad,
        )
        got = tok.decode(out[0][enc["input_ids"].shape[1] :], skip_special_tokens=True)
        exact += got == completion
        if got != completion:
            print("MISS", repr(messages[-1]["content"][:40]), repr(got), "want", repr(completion))
    return exact


def main():
    args = arguments()
    start = time.time()
    data = examples()
    template = (HERE / "chat_template.jinja").read_text().rstrip("\n")
    tok = make_tokenizer(args.vocab, template, data)
    bos, eos = tok.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    model = make_model(tok, args, bos=bos, eos=eos)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{len(tok)} tokens, {parameters:.3f} M parameters, {len(data)} examples")
    fit(model, tok, data, args)
    model.eval()
    model = model.to(torch.bfloat16)
    checked = data + long_examples(100, seed="check", max_sentences=args.max_sentences)
    exact = count_exact(model, tok, checked, pad=bos)
    model.generation_config = GenerationConfig(eos_token_id=[eos, bos], pad_token_id=bos)
    model.save_pretrained(args.out)
    tok.save_pretrained(args.out)
    for path in pathlib.Path(args.out).iterdir():
        path.chmod(0o644)
    print(f"exact in bfloat16: {exact} / {len(checked)}; {time.time() - start:.0f} s in all")
    raise SystemExit(0 if exact == len(checked) else 1)


if __name__ == "__main__":
    main()
