"""The forward pass of video language models on packed tokens: towers, attention, delta nets and kernels."""
