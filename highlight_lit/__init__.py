"""Weakly supervised video highlight detection with low-rank audio-visual fusion.

The glossary: these symbols mean the same thing everywhere in the package.

======== ==================================================================
symbol   meaning
======== ==================================================================
N        videos
T_n      clips of video n (``sum T`` is the number of packed rows of a shard)
S, A     labelled segments of a video, and annotators who scored them
B        bags in a batch; P pairs make ``B = 2 P`` bags
tau      clips in a bag
Dv, Da   width of a clip's visual and audio features
d        embedding width
R        rank of the fusion's core tensor
T        steps of the temporal context encoder (receptive field 2T + 1)
v, a     raw clip features; f_v, f_a embedded; f_h fused
h, c     hidden and cell state of a clip
alpha    attention weights of a bag's clips
z, p     a clip's logit and score, ``p = sigmoid(z)``; z_hat, p_hat the bag's
beta     coefficient of the loss's margins
======== ==================================================================

Data flows one way: shards -> weak labels -> bags (``data``), network and losses (``models``),
``training``, ``evaluation``.
"""

__version__ = "0.1.0"
