"""One commit to the Hub, or none at all, and its refusals in one line."""

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_session, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from hf_nextfail.errors import HubError

logger = logging.getLogger(__name__)

#: Seconds to wait before each new attempt at a commit.
PAUSES = (1, 4)
#: Seconds without a byte from the Hub after which a connection counts as broken; its client would wait for ever.
SILENCE = 60

TOKEN_HELP = (
    "log in with `hf auth login`, or set HF_TOKEN, with a token that has write access "
    "(https://huggingface.co/settings/tokens)"
)


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn whatever the Hub's client raises into a `HubError`; no message of the client holds the token."""
    try:
        yield
    except HFValidationError as error:
        raise HubError(f"{repo_id!r} is not a valid name for a repository: {one_line(error)}", 2) from error
    except OfflineModeIsEnabled as error:
        raise HubError("HF_HUB_OFFLINE is set, so the Hub cannot be reached: unset it", 2) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise HubError(f"the Hub refuses to write to {repo_id} ({one_line(error)}); {TOKEN_HELP}", 2) from error
        raise connection_error(repo_id, error) from error
    except (HTTPError, OSError, RuntimeError) as error:  # RuntimeError: an upload that its own retries did not save
        raise connection_error(repo_id, error) from error


def one_line(error: Exception) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def bound_waits() -> None:
    """Give requests of the Hub's client a time limit, unless somebody has set one: by default they wait for ever.

    The client makes a new session after some errors, so this is for every attempt.
    """
    session = get_session()
    if session.timeout.read is None:
        session.timeout = SILENCE


def connection_error(repo_id: str, error: Exception) -> HubError:
    """Make the error of a push that failed on the way."""
    return HubError(
        f"the push to {repo_id} did not come through: {one_line(error)}; run the command again: what has arrived is "
        "not sent twice",
        1,
    )


def check_access(repo_id: str, token: str | None = None) -> str:
    """Make sure that the token at hand may write to a repository, before any work is done for it.

    Args:
        repo_id (`str`): `NAMESPACE/NAME`, or `NAME` in the token's own namespace.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`.

    Returns:
        `str`: the name with its namespace.

    Raises:
        HubError: if there is no token, or it is wrong, may only read, or belongs to somebody else; nothing is created.
    """
    with hub_errors(repo_id):
        validate_repo_id(repo_id)
    if (sent := token or get_token()) is None:
        raise HubError(f"no token to push to {repo_id} with: {TOKEN_HELP}", 2)
    if re.search(r"[^!-~]", sent):  # the client would say so with the token in its message
        raise HubError(f"the token to push to {repo_id} holds a blank, a line break or the like; {TOKEN_HELP}", 2)
    with hub_errors(repo_id):
        bound_waits()
        user = HfApi(token=token).whoami()
    namespace, _, name = repo_id.rpartition("/")
    mine = [user["name"], *(organisation["name"] for organisation in user.get("orgs", []))]
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError(f"the token of {user['name']} may only read, so it cannot push to {repo_id}; {TOKEN_HELP}", 2)
    if namespace and namespace not in mine:
        raise HubError(
            f"the token of {user['name']} may not write to {namespace}, only to {' and '.join(mine)}: "
            f"name the repository {user['name']}/{name}, or join {namespace}",
            2,
        )
    return f"{namespace or user['name']}/{name}"


def push_files(
    repo_id: str,
    repo_type: str,
    files: Mapping[str, Path | bytes],
    message: str,
    stale: Sequence[str] = (),
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    space_sdk: str = "static",
) -> CommitInfo:
    """Push files as one commit: the repository is as before or has all of them. The same files again: no commit.

    Args:
        repo_id (`str`): created if it does not exist.
        repo_type (`str`): `"model"`, `"dataset"` or `"space"`.
        files (mapping): the path in the repository -> a local file, or bytes.
        message (`str`): of the commit.
        stale (sequence of `str`): patterns of files to delete unless they are pushed now.
        token (`str`, *optional*), revision (`str`, *optional*): as everywhere on the Hub.
        private (`bool`, *optional*): whether a repository that this creates is private.
        space_sdk (`str`, *optional*, defaults to `"static"`): what runs a Space that this creates.

    Raises:
        HubError: if the Hub refuses or cannot be reached; nothing is half-written.
    """
    api = HfApi(token=token)
    with hub_errors(repo_id):
        bound_waits()
        sdk = space_sdk if repo_type == "space" else None
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=sdk)
        for pause in (*PAUSES, None):
            try:
                bound_waits()
                head = api.repo_info(repo_id, repo_type=repo_type, revision=revision, timeout=SILENCE)
                present = [sibling.rfilename for sibling in head.siblings]
                # The client marks what it has sent, so each attempt needs operations of its own.
                operations = [CommitOperationAdd(path, content) for path, content in sorted(files.items())]
                operations += [
                    CommitOperationDelete(path)
                    for path in present
                    if path not in files and any(fnmatch(path, pattern) for pattern in stale)
                ]
                return api.create_commit(
                    repo_id,
                    operations,
                    commit_message=message,
                    repo_type=repo_type,
                    revision=revision,
                    parent_commit=head.sha,  # a commit whose answer was lost is not made twice
                )
            except HTTPError as error:
                status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
                # 412: somebody else has pushed meanwhile. Other refusals stay refusals.
                if pause is None or (status is not None and status < 500 and status not in (408, 412, 429)):
                    raise
                logger.warning("The Hub did not take the commit (%s); trying again.", one_line(error))
                time.sleep(pause)
    raise AssertionError("unreachable")
