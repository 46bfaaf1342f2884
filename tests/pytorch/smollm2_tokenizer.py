"""SmolLM2's tokenizer as the Python library tokenizers has it, from the keys of its GGUF file."""
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers


def make_tokenizer(keys):
    tokens = keys["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in keys["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    control = [text for text, kind in zip(tokens, keys["tokenizer.ggml.token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in control])
    return tokenizer
