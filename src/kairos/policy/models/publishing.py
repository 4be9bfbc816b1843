"""Puts a folder that was exported on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

_CLIENT_ERROR = cast("type[Exception]", HfHubHTTPError.__bases__[0])
"""What every error of the HTTP client derives from that huggingface_hub uses."""
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class NotPublished(ValueError):
    """A folder was not put on the hub."""


def check_hub_name(name: str) -> None:
    """ValueError unless `name` is <owner>/<name>."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"hub={name}: a place on the Hugging Face hub is written <owner>/<name>")


def publish(folder: Path, name: str) -> str:
    """Create the model `name` on the hub, private, unless it is there, and upload the folder without its seals.

    Returns its address. NotPublished without a login, network or right to write there; the folder stays as it is.
    """
    check_hub_name(name)
    try:
        address = HfApi().create_repo(name, private=True, exist_ok=True)
        HfApi().upload_folder(repo_id=name, folder_path=folder, ignore_patterns=[".*", "**/.*"])
    except (_CLIENT_ERROR, LocalTokenNotFoundError, OfflineModeIsEnabled) as error:
        said = " ".join(str(error).split())[:200]
        raise NotPublished(
            f"hub={name}: not published ({type(error).__name__}: {said}). The model is complete in {folder}: log in "
            f"with `hf auth login`, see that the hub can be reached, and run `hf upload {name} {folder} --exclude '.*'`"
        ) from error
    return str(address)
