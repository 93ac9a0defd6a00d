"""What every room shares: types, plugins, engine, noise, images, augmentation, checkpoints, config, errors. Imports nothing of ours."""
