"""One file per way from noise to picture: sample(denoise, noise, sigmas, *, noise_at=None) -> Iterator[Tensor]."""
