from __future__ import annotations

from torch import Tensor, nn


class PromptEncoder(nn.Module):
    """Lets the prompts of one skeleton see each other: one pre-norm transformer block and a layer norm.

    Sec. 3.2.1 of CLAMP. The block has no position table, so permuting the keypoints permutes the output. The released
    code also creates a position table and a projection that nothing uses; they are left out here.

    ``embed_dim`` is D of the prompts, (B, K, D).
    """

    def __init__(self, embed_dim: int, *, num_heads: int = 8, num_layers: int = 1, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        from open_clip.transformer import QuickGELU, Transformer
        if embed_dim % num_heads:
            raise ValueError(f'num_heads={num_heads} does not divide embed_dim={embed_dim}')
        self.transformer = Transformer(
            width=embed_dim, layers=num_layers, heads=num_heads, mlp_ratio=mlp_ratio, act_layer=QuickGELU)
        self.ln_final = nn.LayerNorm(embed_dim)

    def forward(self, text: Tensor) -> Tensor:
        return self.ln_final(self.transformer(text))
