"""Image-text data: readers of the formats in use, and the corpus that this project draws itself.

WebDataset shards | LLaVA JSON | COCO | Hugging Face datasets | our own shards ─► WebCorpus ─► mixture
"""
