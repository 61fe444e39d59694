"""Tiny checkpoints with random weights as the hub has them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from metalore.intent.image import ImageEncoder
from metalore.intent.speech import SpeechEncoder


def image_on_hub(folder: Path) -> Path:
    """A model as the hub has BLIP, but tiny: preprocessor and tokenizer in files of their own."""
    small = ImageEncoder.small(seed=3)
    settings = small.model.config
    settings.vision_config.update({"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 32})
    settings.vision_config.update({"image_size": 48, "patch_size": 16})
    settings.text_config.update({"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 32})
    settings.text_config.update({"encoder_hidden_size": 24})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        type(small.model)(settings).save_pretrained(folder)
    image_processor = small.processor.image_processor
    image_processor.size = {"height": 48, "width": 48}
    image_processor.save_pretrained(folder)
    small.processor.tokenizer.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "preprocessor_config.json"}
    return folder


def speech_on_hub(folder: Path, hidden: int = 768) -> Path:
    """A model as the hub has facebook/wav2vec2-base, of pretraining and without a layer that spells, but tiny."""
    config = Wav2Vec2Config(
        hidden_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=(4, 4),
        conv_kernel=(10, 8),
        conv_stride=(40, 8),
        codevector_dim=8,
        proj_codevector_dim=8,
        num_codevectors_per_group=2,
        num_conv_pos_embeddings=2,
        num_conv_pos_embedding_groups=2,
        mask_time_length=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Wav2Vec2ForPreTraining(config).save_pretrained(folder)
    processor = SpeechEncoder.small().processor
    processor.feature_extractor.return_attention_mask = False
    processor.save_pretrained(folder)
    return folder
