"""Tasks: how a batch is fed, how outputs become answers, how one training step is taken. One file each."""
