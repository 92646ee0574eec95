"""What `vla serve` and the remote policy say to each other, and how the server keeps order among its clients."""
