"""Shared layers only: blocks, embeddings, U-Net, residual MLP, residual CNN. Whole models live in families."""
