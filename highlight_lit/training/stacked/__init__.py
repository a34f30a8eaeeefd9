"""Cells of a sweep whose networks have the same shapes, trained as one network with stacked weights.

`sweep` is called by the launcher (`highlight_lit/plugins`), `cells` says which cells go together, `loop` trains those of a
group, `stack` holds the weights of its members, as cells in a stack are called, and takes a step, `member_checkpoint`
writes and reads the `last.ckpt` of each. A cell that was trained here is left where a cell alone would be at the end of
its training; whatever comes after, its evaluation and record, is as ever.
"""
