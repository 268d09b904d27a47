"""Toy tokenizers, trained in under a second on the toy world's text, and the padding rules of every tokenizer."""

from __future__ import annotations

import math
import string
from collections import Counter
from functools import cache

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rlhf.data.toy_world import toy_texts
from rlhf.errors import UserError
from rlhf.model_spec import Family

TEXT_SEED, TEXT_ROWS = 0, 1500  # the training text is a fixture: changing it changes every tiny model
PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
SPARE_PAD_TOKENS = ("<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>")
NEVER_IN_UTF8 = "ÿ"  # how byte-level BPE writes byte 0xFF, which no UTF-8 text holds


@cache
def toy_corpus() -> tuple[str, ...]:
    """Return the texts that toy tokenizers are trained on, with the speaker names of the toy template."""
    return tuple(f"User: {text}\nAgent: {text.rsplit(chr(10), 1)[-1]}" for text in toy_texts(TEXT_SEED, TEXT_ROWS))


def train_toy_tokenizer(family: Family, vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer of at most `vocab_size` tokens on the toy corpus.

    Encoder-decoders get a Unigram model with T5's ids (pad 0, `</s>` 1, unk 2) that ends every text with `</s>`; the
    others a lossless byte-level BPE with pad 0, bos 1, eos 2 that adds nothing. The same arguments give the same bytes.
    """
    tokenizer, special = _unigram(vocab_size) if family == "seq2seq" else _byte_level_bpe(vocab_size)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special)


def _byte_level_bpe(vocab_size: int) -> tuple[Tokenizer, dict[str, str]]:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(toy_corpus(), trainer)
    return tokenizer, {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS}


def _unigram(vocab_size: int) -> tuple[Tokenizer, dict[str, str]]:
    """Unigram model with the pieces of a character BPE, scored by how often that BPE uses them.

    The library's own Unigram trainer sums floats in hash order, so its result differs from process to process.
    """
    bpe = Tokenizer(BPE(unk_token=UNK))
    bpe.normalizer = normalizers.NFKC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = [PAD, EOS, UNK]
    alphabet = list(string.ascii_letters + string.digits + string.punctuation)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(toy_corpus(), trainer)
    used = Counter(piece for text in toy_corpus() for piece in bpe.encode(text).tokens)
    ids = bpe.get_vocab()
    pieces = sorted(set(ids) - set(special), key=lambda piece: ids[piece])
    scored = [(piece, math.log((used[piece] + 0.5) / used.total())) for piece in pieces]

    tokenizer = Tokenizer(Unigram([*((name, 0.0) for name in special), *scored], unk_id=special.index(UNK)))
    tokenizer.normalizer, tokenizer.pre_tokenizer = bpe.normalizer, bpe.pre_tokenizer
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, 1)])
    return tokenizer, {"pad_token": PAD, "eos_token": EOS, "unk_token": UNK}


def ensure_padding(tokenizer: PreTrainedTokenizerBase, family: Family) -> PreTrainedTokenizerBase:
    """Give `tokenizer` a pad id that is no other special id, and the family's padding side; return it.

    With pad == eos (GPT-2 has no pad token, and many scripts alias the two), masks made from ids lose the end of every
    sequence. A spare token of the vocabulary serves as pad, so that no embedding table has to grow: a reserved one,
    else `<unk>` where it is not also eos, else byte 0xFF of a byte-level vocabulary. Causal models are padded on the
    left (generation continues from the last column), the others on the right. Raises UserError where no token is free.
    """
    taken = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.sep_token_id, tokenizer.cls_token_id} - {None}
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in taken:
        vocabulary = tokenizer.get_vocab()
        spare = [*SPARE_PAD_TOKENS, tokenizer.unk_token, NEVER_IN_UTF8]
        free = [token for token in spare if token in vocabulary and vocabulary[token] not in taken]
        if not free:
            raise UserError(
                "model.tokenizer",
                f"{tokenizer.name_or_path} has no padding token and none to spare",
                "name a tokenizer that has one",
            )
        tokenizer.pad_token = free[0]
    tokenizer.padding_side = "left" if family == "causal" else "right"
    return tokenizer
