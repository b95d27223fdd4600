"""Anatomy of a transformer: what each part adds, where its heads look, and where information can be read.

A transformer keeps one vector a token, the **residual stream**, and every block adds to it: first its
attention, then its MLP. The functions here take that sum apart and look at the pieces:

- `stream`: `residual_components`, the summands, and `residual_stream`, the running sum after each block;
- `lens`: `read_out`, `logit_lens`, `lens_scores`, `lens_html`, what the model would say if it stopped early, and
  `fit_affine_lens`, the same with a small translator a layer, because early layers write in another basis;
- `jacobian`: `fit_jacobian_lens`, `jacobian_lens`, what a small step in an early stream does to the end of it, for a
  few words (`shipped_jacobian_lens` for all of them), and `swap`, two words exchanged in a stream;
- `heads`: `head_scores`, `offset_score`, where all heads look on repeated random tokens;
- `circuits`: `composition`, `head_writes`, `after_earlier`, what the weights say of who reads whom, and of copying;
- `fewshot`: `rule_scores`, `answer_log_probs`, `strongest`, heads that carry a rule from a prompt's examples.

Taking a part out to see what breaks is in `utils.interventions.ablations`; changing only what some readers read, in
`utils.interventions.paths`.

What these methods cannot show, in one place. A lens shows what the *output layer* can read; information in
another basis stays dark. Attention says where a head looks, not what it moves. Weights say what can pass between two
parts, not what does.

Works for any TransformerBridge with one residual stream: checked on Llama, GPT-2 (biases, position embeddings),
GPT-NeoX (parallel attention and MLP), Qwen2 and Gemma-2 (norms after the sublayers, soft-capped logits).
"""

from utils.anatomy.circuits import after_earlier, composition, head_writes
from utils.anatomy.fewshot import answer_log_probs, rule_scores, strongest
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
from utils.anatomy.stream import Components, residual_components, residual_stream

__all__ = [
    "AffineLens",
    "Components",
    "HeadScores",
    "JacobianLens",
    "JacobianVectors",
    "LensScores",
    "after_earlier",
    "answer_log_probs",
    "composition",
    "fit_affine_lens",
    "fit_jacobian_lens",
    "fit_jacobian_matrix",
    "head_scores",
    "head_writes",
    "jacobian_lens",
    "lens_html",
    "lens_scores",
    "logit_lens",
    "offset_score",
    "random_swap",
    "read_out",
    "read_rows",
    "repeated_tokens",
    "residual_components",
    "residual_stream",
    "rule_scores",
    "shipped_jacobian_lens",
    "strongest",
    "swap",
]
