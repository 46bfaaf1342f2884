"""Classifiers of transformers that come with a soup of ladle: the model code of a directory.

The directory's config.json says what the soup is in its field `ladle_soup`; all experts of a bank are averaged.
"""

from transformers import (BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification)

from .attach import attach_adapters


class LadleBertConfig(BertConfig):
    """BERT's configuration with the soup's description."""

    model_type = "ladle-bert"

    def __init__(self, ladle_soup: dict | None = None, **fields):
        super().__init__(**fields)
        self.ladle_soup = ladle_soup


class LadleRobertaConfig(RobertaConfig):
    """RoBERTa's configuration with the soup's description."""

    model_type = "ladle-roberta"

    def __init__(self, ladle_soup: dict | None = None, **fields):
        super().__init__(**fields)
        self.ladle_soup = ladle_soup


class LadleBertForSequenceClassification(BertForSequenceClassification):
    """BERT with the adapters of a soup."""

    config_class = LadleBertConfig

    def __init__(self, config: LadleBertConfig):
        super().__init__(config)
        attach_adapters(self.bert.encoder, config.ladle_soup)


class LadleRobertaForSequenceClassification(RobertaForSequenceClassification):
    """RoBERTa with the adapters of a soup."""

    config_class = LadleRobertaConfig

    def __init__(self, config: LadleRobertaConfig):
        super().__init__(config)
        attach_adapters(self.roberta.encoder, config.ladle_soup)
