"""One file a sickness of training that the doctor can name."""
