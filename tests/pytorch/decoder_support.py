"""Golden files of decoders as models of transformers, and their experts as files that ladle_soup loads."""

import json
import os
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src" / "python"))

from ladle_soup import expert_file  # noqa: E402
from ladle_soup.soup_file import tensor_digest  # noqa: E402

# The published folder and the system that it is for; several hold more than one.
SYSTEMS = {"LLaMA3_soft_moa": "soft-moa", "LLaMA3_sparse_moa": "sparse-moa", "LLaMA3_soft_moa_instance": "instance-moa",
           "LLaMA3_UniPEFT": "unipelt", "LLaMA3_soft_moe": "molora", "LLaMA3_sparse_moe": "top-k-lora"}
NAMES = {"attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
         "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
         "feed_forward.w3": "mlp.up_proj", "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}


def golden_files():
    """The repository's files and those of the folders of LADLE_FIXTURES that are of decoders."""
    import h5py

    folders = [ROOT / "tests" / "fixtures" / "moa"]
    folders += [pathlib.Path(folder) for folder in os.environ.get("LADLE_FIXTURES", "").split(":") if folder]
    for path in sorted(path for folder in folders for path in folder.glob("*.h5")):
        with h5py.File(path) as file:
            if "system" in file.attrs:
                yield path


def config_of(file):
    return json.loads(file.attrs["config"])


def system_of(file):
    config = config_of(file)
    return "adamole" if config.get("adamole") else SYSTEMS[file.attrs["reference_folder"]]


def half_split(weight, head_dim):
    """Rows of pairs side by side to pairs half a head apart."""
    return weight.view(-1, head_dim // 2, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def is_expert(name):
    return any(word in name for word in ("lora", "prompt", "adapter"))


def weights_of(file):
    return {name.removeprefix("llama."): torch.from_numpy(file["weights"][name][()]) for name in file["weights"]}


def make_llama(config):
    """A LlamaForCausalLM of the sizes of a golden file."""
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192} if config["use_scaled_rope"] else None
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=config["vocab_size"], hidden_size=config["dim"], intermediate_size=config["ffn_hidden"],
        num_hidden_layers=config["n_layers"], num_attention_heads=config["n_heads"],
        num_key_value_heads=config["n_kv_heads"], rms_norm_eps=config["norm_eps"], rope_theta=config["rope_theta"],
        rope_scaling=scaling, max_position_embeddings=16384, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=None, pad_token_id=None)).eval()


def make_model(file):
    """The frozen decoder of a golden file."""
    config = config_of(file)
    model = make_llama(config)
    head_dim = config["dim"] // config["n_heads"]
    state = {}
    for name, weight in weights_of(file).items():
        if is_expert(name):
            continue
        if name.endswith(("wq.weight", "wk.weight")):
            weight = half_split(weight, head_dim)
        state[transformers_name(name)] = weight
    model.load_state_dict(state)
    return model


def transformers_name(name):
    whole = {"tok_embeddings.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}
    if name in whole:
        return whole[name]
    prefix, layer, rest = name.split(".", 2)
    return f"model.{prefix}.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def arguments_of(file):
    """What the published adapter_params.json of this run says."""
    known = {*expert_file.ARGUMENTS, *expert_file.OTHER_ARGUMENTS}
    return {name: value for name, value in config_of(file).items() if name in known}


def describe(file):
    """What ladle writes into the metadata."""
    config = config_of(file)
    sizes = {"dim": config["dim"], "heads": config["n_heads"], "kv_heads": config["n_kv_heads"],
             "head_dim": config["dim"] // config["n_heads"], "ffn": config["ffn_hidden"], "layers": config["n_layers"]}
    router, rule, _ = expert_file.SYSTEMS[system_of(file)]
    arguments = arguments_of(file)
    fields = {field: arguments.get(name, default) for name, (field, default) in expert_file.ARGUMENTS.items()}
    return {"format": "ladle.adapter 1", **sizes, "system": system_of(file), "router": router, "rule": rule, **fields,
            **dict.fromkeys(expert_file.MENDS, False)}


def experts_of(file):
    return {name: weight for name, weight in weights_of(file).items() if is_expert(name)}


def write_safetensors(path, description, tensors):
    save_file(tensors, path, {"format": "pt", "ladle.adapter": json.dumps(description),
                              "ladle.sha256": tensor_digest(tensors)})
    return path


def write_published(folder, arguments, tensors):
    folder.mkdir()
    torch.save({f"llama.{name}": tensor for name, tensor in tensors.items()}, folder / "adapter.pth")
    (folder / "adapter_params.json").write_text(json.dumps(arguments))
    return folder
