"""The passes, in the order they run, each with the reason for its place."""

from __future__ import annotations

from .absorb_layout import absorb_layout
from .drop_concat import drop_concat
from .fold_scale import fold_scale
from .gather_heads import gather_heads
from .merge_projections import merge_projections
from .run import Observer as Observer
from .run import Pass as Pass
from .run import Stage as Stage
from .run import run_passes as run_passes
from .share_heads import share_heads
from .simplify_expressions import simplify_expressions
from .simplify_mask import simplify_mask
from .skip_pruned_heads import skip_pruned_heads
from .stream_softmax import stream_softmax
from .use_base_two import use_base_two

PASSES = (
    Stage(
        merge_projections,
        "first, while each projection is still followed by its split and nothing else reads them",
    ),
    Stage(share_heads, "before stream_softmax, whose op knows groups of heads but no repeated ones"),
    Stage(
        simplify_expressions, "before all that asks what modify and keep are: a modify of `score` vanishes"
    ),
    Stage(simplify_mask, "after constants are folded, which gives narrower intervals; may remove the mask"),
    Stage(use_base_two, "before fold_scale, which makes its multiplication by log2(e) free"),
    Stage(fold_scale, "once all scales are there, and no modify or mask that means nothing is in their way"),
    Stage(stream_softmax, "when scores are a product, modify, scale and mask at most, in this order"),
    Stage(gather_heads, "after stream_softmax: attentions that mean the same are equal ops by now"),
    Stage(absorb_layout, "after gather_heads: the one attention is the first op that has a layout"),
    Stage(drop_concat, "when absorb_layout has left heads in rows in front of the concatenation"),
    Stage(skip_pruned_heads, "last: it looks at what stands in front of the attention and behind it"),
)
