"""From campaign files to checked plans. `load_folder` is the one public entry."""

from transforms.language.compiling import load_folder

__all__ = ["load_folder"]
