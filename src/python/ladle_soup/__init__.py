"""Soups of ladle on the BERT and RoBERTa of the transformers library, and experts of decoders on its LLaMA."""

from .expert_loader import expert_parameters, load_experts, unload_experts
from .loader import load_soup, save_soup, trainable_parameters, unload
from .soup_file import SoupError, read_description

__all__ = ["SoupError", "expert_parameters", "load_experts", "load_soup", "read_description", "save_soup",
           "trainable_parameters", "unload", "unload_experts"]
