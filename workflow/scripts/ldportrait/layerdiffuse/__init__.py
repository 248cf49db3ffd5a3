"""LayerDiffuse (Zhang and Agrawala 2024, arXiv 2402.17113) on SDXL: transparency in the latents of a diffusion model.

The weights' formats and the networks are those of the published files; the code is ours.
"""
