"""Vision-language-action control: a camera frame and a sentence in, action tokens out, an arm moves."""

__version__ = "0.1.0"
