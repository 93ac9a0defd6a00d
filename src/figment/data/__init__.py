"""Pictures in: sources yield records, steps keep, mend or reject them, the store holds them, batches serve them."""
