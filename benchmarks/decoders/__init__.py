"""What `benchmarks.decode` times: peers with our weights, and layouts of published sizes."""
