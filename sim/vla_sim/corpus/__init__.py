"""Image-text data that the project draws itself, with labels from state that are checked against it.

    (seed, kind, number) ─► Draw ─► a kind's question ─┬─► WebSample ─► shards, CARD.md, examples.png
                              ▲                        └─► checks: the answer anew from MuJoCo's state or the pixels
    tabletop pictures ────────┤   our worlds, mid-episode
    drawings ─────────────────┘   shapes, digits, symbols, emblems

To add a kind of question, read and imitate `kinds/count.py`, and give it an answer in `checks/`.
"""
