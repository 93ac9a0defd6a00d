"""What every room shares: types, plugins, config, engine, noise, images, checkpoints, errors; imports none of ours."""
