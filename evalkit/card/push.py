"""A card sent to the hub, as one commit that changes what evalkit writes and nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import CardError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["push"]

_FILE = "README.md"
_MESSAGE = "Update evaluation results"


def push(text: str, repository: str, again: Callable[[str], str]) -> str:
    """Commit `text`, byte for byte, as the card of a model repository.

    The client's own ModelCard would write the YAML anew and drop its comments.

    Args:
        text: The card.
        repository: OWNER/NAME.
        again: Makes of the hub's present card what it would be with the same figures: where that
            is not `text`, the hub's card or this one has changes that the other has not.

    Returns:
        The commit's address.

    Raises:
        CardError: there is no token, the two cards differ in more than figures, or the hub does
            not take the card; never names the token.
    """
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if token is None:
        raise CardError(
            f"--push {repository!r}: no token for the hub; set HF_TOKEN to one that may write "
            f"there, or run `hf auth login`"
        )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    try:
        parent = api.repo_info(repository, repo_type="model").sha
        _require_same(api, (repository, parent), text, again)
        done = api.upload_file(
            path_or_fileobj=text.encode("utf-8"),
            path_in_repo=_FILE,
            repo_id=repository,
            repo_type="model",
            commit_message=_MESSAGE,
            parent_commit=parent,
        )
    except CardError:
        raise
    except Exception as error:  # noqa: BLE001 - the hub's client raises errors of several libraries
        said = str(error).replace(token, "***").strip()
        raise CardError(
            f"--push {repository!r}: the hub did not take the card: {said}; nothing was written, "
            f"so repeat the command once that is corrected"
        ) from None
    return str(done.commit_url)


def _require_same(
    api: HfApi, place: tuple[str, str | None], text: str, again: Callable[[str], str]
) -> None:
    """Refuse to overwrite what someone else wrote on the hub."""
    from huggingface_hub.errors import EntryNotFoundError

    repository, revision = place
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = api.hf_hub_download(repository, _FILE, revision=revision, local_dir=folder)
        except EntryNotFoundError:
            return
        there = Path(path).read_bytes().decode("utf-8")
    if there != text and again(there) != text:
        raise CardError(
            f"--push {repository!r}: the card there and this file differ in more than the figures; "
            f"take over what is there (hf download {repository} {_FILE}), or push your own "
            f"changes first"
        )
