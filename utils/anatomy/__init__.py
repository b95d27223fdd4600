"""Anatomy of a transformer: what each part adds, where its heads look, and where information can be read.

A transformer keeps one vector a token, the **residual stream**, and every block adds to it: first its
attention, then its MLP. The functions here take that sum apart and look at the pieces:

- `stream`: `residual_components`, the summands, and `residual_stream`, the running sum after each block;
- `lens`: `read_out`, `logit_lens`, `lens_scores`, `lens_html`, what the model would say if it stopped early, and
  `fit_affine_lens`, the same with a small translator a layer, because early layers write in another basis;
- `jacobian`: `fit_jacobian_lens`, `jacobian_lens`, what a small step in an early stream does to the end of it, for a
  few words (`shipped_jacobian_lens` for all of them), and `swap`, two words exchanged in a stream;
- `heads`: `head_scores`, `offset_score`, where all heads look on repeated random tokens;
- `regions`: `repeated_words`, `read_labels`, `region_map`, a map of which information can be read where.

Taking a part out to see what breaks is in `utils.interventions.ablations`.

What these methods cannot show, in one place. A lens shows what the *output layer* can read; information in
another basis stays dark. Attention says where a head looks, not what it moves. What a fitted reader finds is present,
and need not be used.

Works for any TransformerBridge with one residual stream: checked on Llama, GPT-2 (biases, position embeddings),
GPT-NeoX (parallel attention and MLP), Qwen2 and Gemma-2 (norms after the sublayers, soft-capped logits).
"""

from utils.anatomy.heads import HeadScores, head_scores, offset_score, repeated_tokens
from utils.anatomy.jacobian import (
    JacobianLens,
    JacobianVectors,
    fit_jacobian_lens,
    fit_jacobian_matrix,
    jacobian_lens,
    random_swap,
    read_rows,
    shipped_jacobian_lens,
    swap,
)
from utils.anatomy.lens import AffineLens, LensScores, fit_affine_lens, lens_html, lens_scores, logit_lens, read_out
from utils.anatomy.regions import LabelledTokens, read_labels, region_map, repeated_words
from utils.anatomy.stream import Components, residual_components, residual_stream

__all__ = [
    "AffineLens",
    "Components",
    "HeadScores",
    "JacobianLens",
    "JacobianVectors",
    "LabelledTokens",
    "LensScores",
    "fit_affine_lens",
    "fit_jacobian_lens",
    "fit_jacobian_matrix",
    "head_scores",
    "jacobian_lens",
    "lens_html",
    "lens_scores",
    "logit_lens",
    "offset_score",
    "random_swap",
    "read_labels",
    "read_out",
    "read_rows",
    "region_map",
    "repeated_tokens",
    "repeated_words",
    "residual_components",
    "residual_stream",
    "shipped_jacobian_lens",
    "swap",
]
