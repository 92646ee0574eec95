"""Exchange with the formats in use: LeRobot, robomimic and LIBERO HDF5, RLDS, diffusion-policy Zarr, MP4 with JSONL.

a foreign dataset ─► reader ─► RawEpisode ─┬─ mapping (a YAML that a person has reviewed) ─► Episode ─► store
                                           └─ nothing is guessed: what the mapping does not say is an error
"""
