_base_ = ['./clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings: a trainable matrix is the prompts' embedding E_prompt, so neither text nor what refines it (Table 8)
model = dict(neck=dict(text_encoder=None, embed_dim=64, prompt_encoder=None, context_decoder=None))
