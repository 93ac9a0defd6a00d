"""Shared layers only: blocks, attention, embeddings, text encoder, U-Net, DiT, token mixer, MLP, residual CNN."""
