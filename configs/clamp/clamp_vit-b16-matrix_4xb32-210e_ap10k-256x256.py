_base_ = ['./clamp_vit-b16_4xb32-210e_ap10k-256x256.py']

# model settings: a trainable matrix is the prompts' embedding E_prompt, so neither text nor what refines it (Table 8)
model = dict(neck=dict(text_encoder=None, embed_dim=512, prompt_encoder=None, context_decoder=None))
