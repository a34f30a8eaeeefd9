"""The networks and their losses, in plain PyTorch.

A clip's way through the network, one file a stop: `highlight_net` (the embedding, and the whole), `fusion` (visual
and audio into one vector), `context` (a clip reads its neighbours), `pooling` (a bag's logit out of its clips'),
`losses` (cross entropy of the bags, margins between paired bags) or `ranking_loss` (a teacher's order of a bag's clips). `mini_net` and `lim`
are networks to compare with, each with its loss; all networks share one call and one `Detection`.
"""
