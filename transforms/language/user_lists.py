"""Lists of users that stand in files of their own, beside the campaigns that name them."""

from __future__ import annotations

from transforms.language.context import Context, Path

LIST_MAX = 1_000_000


def read_user_list(context: Context, name: str, path: Path) -> tuple[str, ...]:
    """The ids of a file, one a line, empty lines left out; ascending. What is wrong is noted with file and line."""
    if "/" in name or "\\" in name or name.startswith("."):
        context.problem(path, f"{name!r} is no file name; the file stands in the campaign's folder")
        return ()
    file = context.folder.path / name
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        context.problem(path, f"cannot read {file}: {error}")
        return ()
    found = {line.strip() for line in lines} - {""}
    for number, line in enumerate(lines, start=1):
        if len(line.strip().encode()) > 128:
            context.problem(path, f"{file}:{number}: a user id is at most 128 bytes")
    if len(found) > LIST_MAX:
        context.problem(path, f"{file} has {len(found):,} users; at most {LIST_MAX:,}, above that use a segment")
    return tuple(sorted(found))
