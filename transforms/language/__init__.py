"""From campaign files to checked plans: `load_folder`, or `load_checked` for who also tells where something stands."""

from transforms.language.compiling import CheckedFolder, load_checked, load_folder

__all__ = ["CheckedFolder", "load_checked", "load_folder"]
