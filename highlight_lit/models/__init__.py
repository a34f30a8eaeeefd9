"""The networks and their losses: plain PyTorch, one small interface a part.

A clip's way through the network, one file a stop: `highlight_net` (the embedding, and the whole), `fusion` (visual
and audio into one vector), `context` (a clip reads its neighbours), `pooling` (a bag's logit out of its clips'),
`losses`. `mini_net` and `lim` are networks to compare with; all of them share one call and one `Detection`.
"""
