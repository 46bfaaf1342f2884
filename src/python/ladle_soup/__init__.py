"""Soups of ladle on the BERT and RoBERTa of the transformers library."""

from .loader import load_soup, save_soup, trainable_parameters, unload
from .soup_file import SoupError, read_description

__all__ = ["SoupError", "load_soup", "read_description", "save_soup", "trainable_parameters", "unload"]
