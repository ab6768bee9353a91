"""The commit that is measured."""
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent


def commit():
    """Its short name, with -dirty where the tree differs from it, beside results."""
    git = ["git", "-C", str(HERE)]
    name = subprocess.run([*git, "describe", "--always"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ":/", ":!/bench/results"], capture_output=True).returncode
    return name + "-dirty" if changed else name
