"""Random model directories made by transformers, and ladle's and PyTorch's logits of the same texts.

Used by the scripts in this folder that start from text.
"""

import json
import pathlib
import random
import subprocess
import tempfile

import h5py
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizerFast, RobertaTokenizerFast

import adamix_reference as reference
from test_token_cases import BY_HAND, random_texts, task_texts, train_byte_bpe

MAX_LENGTH = 48
LABELS = ["first", "second", "third"]
SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80,
         "max_position_embeddings": 64, "type_vocab_size": 2}


def roberta_tokenizer(texts):
    return loaded(RobertaTokenizerFast, train_byte_bpe(texts))


def bert_tokenizer(texts):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer()
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=2000, special_tokens=special, show_progress=False))
    return loaded(BertTokenizerFast, trained)


def loaded(tokenizer_class, trained):
    """By way of the vocabulary's files, which releases 4 and 5 of transformers both read."""
    with tempfile.TemporaryDirectory() as folder:
        trained.model.save(folder)
        return tokenizer_class.from_pretrained(folder, model_max_length=MAX_LENGTH)


def make_model(architecture, tokenizer, num_labels, seed, shape=SHAPE):
    """A random classifier for this tokenizer."""
    epsilon = 1e-12 if architecture == "bert" else 1e-5
    model = reference.make_classifier(architecture, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id,
                                      layer_norm_eps=epsilon, num_labels=num_labels, **shape)
    return reference.randomize(model, 0.2, seed)


def save_directory(folder, model, tokenizer, weights="model.safetensors"):
    """The directory as save_pretrained writes it, or with its weights as pytorch_model.bin."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if weights == "pytorch_model.bin":
        (pathlib.Path(folder) / "model.safetensors").unlink()
        torch.save(model.state_dict(), pathlib.Path(folder) / weights)
    return folder


def sample_rows(count, regression, seed=5):
    """Pairs of texts: ordinary ones first, then hand-made and random ones, whose labels mean nothing."""
    draw = random.Random(seed)
    train, dev = task_texts()
    texts = [text for text in dev[:count] if text.strip()]
    texts += [text for text in [*BY_HAND, *random_texts(count // 4)] if "\0" not in text]
    rows = []
    for place, text in enumerate(texts):
        label = round(draw.uniform(0, 5), 2) if regression else LABELS[draw.randrange(len(LABELS))]
        rows.append({"text": text, "other": texts[(7 * place + 3) % len(texts)], "label": label})
    return rows, train[:20000]


def prepare(ladle, model_folder, data_folder, rows, regression):
    """Shards of these rows, as training and as validation split."""
    data_folder = pathlib.Path(data_folder)
    data_folder.mkdir(parents=True)
    source = data_folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    kind = ["--regression"] if regression else ["--labels", ",".join(LABELS)]
    run(ladle, "prepare", "--strict", "--data.task", "mine", "--train-file", source, "--validation-file", source,
        "--text-a", "text", "--text-b", "other", "--model.path", model_folder, "--data.dir", data_folder,
        "--data.max_length", MAX_LENGTH, *kind)
    return data_folder


def train(ladle, model_folder, data_folder, run_folder, *options):
    """A short training run with a large learning rate, so that the experts move far apart."""
    run(ladle, "train", "--model.path", model_folder, "--data.dir", data_folder, "--data.task", "mine",
        "--run.dir", run_folder, "--train.max_steps", 12, "--optim.lr", 0.03, "--train.batch", 16,
        "--adapter.size", 7, "--adapter.num_experts", 3, *options)
    return pathlib.Path(run_folder)


def ladle_logits(ladle, model_folder, data_folder, soup=None):
    """Logits of the validation split by `ladle evaluate`; without soup by the directory's own head."""
    path = pathlib.Path(data_folder) / "logits.safetensors"
    path.unlink(missing_ok=True)
    run(ladle, "evaluate", *([soup] if soup else []), "--model.path", model_folder, "--data.dir", data_folder,
        "--data.task", "mine", "--logits", path)
    return load_file(path)["validation"]


@torch.no_grad()
def torch_logits(model, tokenizer, rows):
    encoded = tokenizer([row["text"] for row in rows], [row["other"] for row in rows], truncation="longest_first",
                        max_length=MAX_LENGTH, padding=True, return_tensors="pt")
    return model.eval()(**encoded).logits


def read_soup(path):
    """Tensors of a soup file under the names of the AdaMix repository; a merged soup is a mixture of one."""
    tensors = {}
    with h5py.File(path) as file:
        merged = file["adapter"].attrs["merged"]
        architecture = file["model"].attrs["architecture"]
        for layer in range(file["model"].attrs["num_layers"]):
            for side, bank in (("down", "MoA_A"), ("up", "MoA_B")):
                for part, values in file[f"adapter/layer_{layer:02}/{side}"].items():
                    values = values[()][None] if merged else values[()]
                    for expert, value in enumerate(values):
                        name = f"encoder.layer.{layer}.output.ExpertSoup.{bank}.deepspeed_experts.{expert}.{part}"
                        tensors[f"{architecture}.{name}"] = torch.from_numpy(value)
        tensors.update((name, torch.from_numpy(values[()])) for name, values in file["head"].items())
    return tensors


def run(ladle, *arguments):
    """Runs the program; its output is shown where it fails."""
    done = subprocess.run([str(ladle), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"ladle {' '.join(map(str, arguments))}\nends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
