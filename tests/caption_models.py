"""Vocabularies that split as BERT's does, and small BLIP text decoders, for tests of captions."""
import numpy as np
import torch

# Of 0 to 383 those that BERT's uncased vocabulary has no token for: "38", "##2".
SPLIT_NUMBERS = (342, *range(346, 350), 353, 358, 359, *range(361, 365), *range(366, 370), *range(371, 375),
                 *range(376, 380), 382, 383)
# What it has of MPII's names: "r", "##k", "##nee".
NAME_PIECES = ('rank', 'r', '##l', '##k', '##nee', '##hip', 'l', 'lan', 'pe', '##lvis', 'thor', '##ax', 'upper', '_',
               'neck', 'head', '##wr', '##i', 're', '##lb', 'rs', '##ho', '##sho', 'le')
SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '[DEC]', '[ENC]']


def bert_words(names=NAME_PIECES, *, size=None):
    """Names in pieces, punctuation, the numbers that BERT has, two-digit tails. size: filled up to so many words."""
    words = [*SPECIAL, *names, *':,.()', *(str(i) for i in range(1000) if i not in SPLIT_NUMBERS),
             *(f'##{i}' for i in range(100)), *(f'00{i}' for i in range(10))]
    words = list(dict.fromkeys(words))
    return words + [f'word{index}' for index in range((size or 0) - len(words))]


def bert_tokenizer(tmp_path, words=None, *, fast=True):
    """Hugging Face's own class, from a vocab.txt."""
    import transformers
    path = tmp_path / 'vocab.txt'
    path.write_text('\n'.join(words or bert_words()), encoding='utf-8')
    return (transformers.BertTokenizerFast if fast else transformers.BertTokenizer)(str(path))


def text_decoder(tokenizer, *, width=32, depth=2, positions=512, scale=None):
    """A small BlipTextLMHeadModel in eval mode. scale: standard deviation of its weights, Hugging Face's if None."""
    from transformers import BlipTextConfig
    from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel
    ids = dict(zip(('pad_token_id', 'bos_token_id', 'sep_token_id'),
                   tokenizer.convert_tokens_to_ids(['[PAD]', '[DEC]', '[SEP]'])))
    model = BlipTextLMHeadModel(BlipTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, encoder_hidden_size=24, intermediate_size=2 * width,
        num_hidden_layers=depth, num_attention_heads=4, max_position_embeddings=positions,
        eos_token_id=ids['sep_token_id'], **ids))
    if scale is not None:
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=scale)
    return model.eval()


def teach(model, tokenizer, embeds, captions, *, steps=100, rate=6e-3):
    """Lets the model memorise one caption for each image embedding."""
    start, end = model.config.bos_token_id, model.config.sep_token_id
    rows = [torch.tensor([start, *tokenizer(text, add_special_tokens=False)['input_ids'], end]) for text in captions]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group['lr'] = rate * min(1, 1.2 * (1 - step / steps))
        loss = model(input_ids=ids, attention_mask=(labels >= 0).long(), encoder_hidden_states=embeds,
                     labels=labels, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.no_grad()
def greedy_without_cache(model, embeds, *, end, most):
    """Free greedy decoding of one image by whole forward passes: tokens without the end token, and the passes."""
    ids = [model.config.bos_token_id]
    for _ in range(most):
        logits = model(input_ids=torch.tensor([ids]), encoder_hidden_states=embeds[None], use_cache=False).logits
        token = int(logits[0, -1].argmax())
        if token == end:
            return ids[1:], len(ids)
        ids.append(token)
    return ids[1:], most


def random_poses(codec, count, *, seed=0, missing=0.):
    """Keypoints in and around the image, numbers that BERT splits among them, and which of them are there."""
    rng = np.random.default_rng(seed)
    shape = (count, codec.num_keypoints)
    points = rng.uniform(-5, np.array(codec.input_size) + 5, size=(*shape, 2))
    often = rng.random(points.shape) < 0.3
    points[often] = rng.choice(SPLIT_NUMBERS, size=int(often.sum()))
    return points, (rng.random(shape) >= missing).astype(float)
