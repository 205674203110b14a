"""Weight sharing: a layer's weights take few values, which a file can name by short codes."""
