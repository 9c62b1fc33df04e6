"""A small Hugging Face Hub: the routes that the Hugging Face libraries use to push and to load, and faults on demand.

It answers as huggingface.co does (redirects, headers, error codes) as far as the clients look. Stand-alone it is

    python -m loopback_hub.server --root DIR [--port N] [--token TOKEN=USER[:ROLE]]... [--xet]

which prints `READY http://127.0.0.1:PORT` when it listens, and in process `with Hub(root).serve() as url: ...`.
Clients need `HF_ENDPOINT=url` before they import anything of Hugging Face.

Below the root lie `repos/{models,datasets,spaces}/USER/NAME.json` (refs and commits) and `blobs/SHA256` (contents),
each replaced atomically.
"""

import argparse
import base64
import contextlib
import dataclasses
import datetime
import hashlib
import json
import re
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypedDict
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

from loopback_hub.xet import XetStore

#: Of what the `.gitattributes` of a new repository on huggingface.co sends to LFS: that which our libraries write.
LFS_SUFFIXES = (".arrow", ".bin", ".gz", ".model", ".npy", ".npz", ".onnx", ".parquet", ".pkl", ".pt", ".safetensors")
LFS_THRESHOLD = 10 * 2**20  # bytes from which any file goes to LFS
REPO_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}
FOLDERS = {repo_type: folder for folder, repo_type in REPO_TYPES.items()}


class Account(NamedTuple):
    """Who a token belongs to and what it may do."""

    user: str
    role: str = "write"


class Request(TypedDict):
    """A line of `Hub.log`; the status is 0 while there is no answer, and stays it when the connection was cut."""

    method: str
    path: str
    auth: bool
    status: int


@dataclass
class Fault:
    """Something that goes wrong with the next requests that match.

    Args:
        method (`str`): a regular expression for the whole of "GET", "HEAD", "POST" or "PUT".
        path (`str`): a regular expression, searched for in the path and query.
        times (`int`, *optional*, defaults to 1): for how many requests; counts down.
        status (`int`, *optional*): answer with this error.
        headers (`dict`, *optional*): of that answer.
        drop_after (`int`, *optional*): cut the connection after so many bytes of the request's body.
        lose_response (`bool`, *optional*, defaults to `False`): do what was asked for, then cut the connection.
        truncate_after (`int`, *optional*): cut the connection after so many bytes of the answer's body.
        call (`Callable`, *optional*): run this right before the connection is cut; alone, it is cut at once.
        delay (`float`, *optional*, defaults to 0): do nothing for so many seconds first.
        hang (`bool`, *optional*, defaults to `False`): never answer; the connection stays until the client ends it.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] | None = None
    drop_after: int | None = None
    lose_response: bool = False
    truncate_after: int | None = None
    call: Callable[[], object] | None = None
    delay: float = 0.0
    hang: bool = False

    def cuts_the_request(self) -> bool:
        cuts_the_answer = self.lose_response or self.truncate_after is not None
        return self.drop_after is not None or (self.call is not None and not cuts_the_answer)


class HTTPError(Exception):
    """An answer that is an error; `code` is how huggingface.co tells the 404s apart."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.headers = {**(headers or {}), "X-Error-Message": message}
        if code is not None:
            self.headers["X-Error-Code"] = code
        self.body = {"error": message, **(body or {})}


class ConnectionCut(Exception):
    """The connection was cut on purpose."""


@dataclass
class Entry:
    """A file in a commit: `oid` is git's name of it (of the pointer to it, with LFS)."""

    sha256: str
    size: int
    oid: str
    pointer_size: int | None = None  # LFS only

    @property
    def is_lfs(self) -> bool:
        return self.pointer_size is not None

    @classmethod
    def regular(cls, data: bytes) -> "Entry":
        return cls(hashlib.sha256(data).hexdigest(), len(data), git_blob_id(data))

    @classmethod
    def lfs(cls, sha256: str, size: int) -> "Entry":
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return cls(sha256, size, git_blob_id(pointer), len(pointer))


@dataclass
class Commit:
    tree: dict[str, Entry]
    parent: str | None
    title: str
    message: str
    author: str
    date: str


@dataclass
class Repository:
    """A repository with its whole history; there are as many refs as clients made, and `main`."""

    repo_type: str
    repo_id: str
    private: bool = False
    sdk: str | None = None  # of a Space
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> "Repository":
        values = json.loads(text)
        for commit in values["commits"].values():
            commit["tree"] = {path: Entry(**entry) for path, entry in commit["tree"].items()}
        values["commits"] = {oid: Commit(**commit) for oid, commit in values["commits"].items()}
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @property
    def namespace(self) -> str:
        return self.repo_id.partition("/")[0]

    def revision(self, name: str) -> str:
        """Find the commit that a branch, a tag, a ref or the commit's own id names."""
        for ref in (name, f"refs/heads/{name}", f"refs/tags/{name}"):
            if ref in self.refs:
                return self.refs[ref]
        if name in self.commits:
            return name
        raise HTTPError(404, f"Invalid rev id: {name}", "RevisionNotFound")

    def history(self, revision: str) -> Iterator[tuple[str, Commit]]:
        """Walk from a revision to the first commit."""
        oid: str | None = self.revision(revision)
        while oid:
            yield oid, self.commits[oid]
            oid = self.commits[oid].parent

    def add_commit(self, ref: str, tree: dict[str, Entry], title: str, message: str, author: str) -> str:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        oid = hashlib.sha1(uuid.uuid4().bytes).hexdigest()
        self.commits[oid] = Commit(tree, self.refs.get(ref), title, message, author, now)
        self.refs[ref] = oid
        return oid


def git_blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def card_metadata(card: str) -> Any:
    """Read the YAML between the `---` of a README.md; `None` when there is none."""
    block = re.match(r"\s*---\r?\n(.*?)\r?\n---", card, re.DOTALL)
    return yaml.safe_load(block[1]) if block else None


class Hub:
    """The Hub: what is stored, who may write, what was asked for and what goes wrong.

    Args:
        root (`Path`): where everything is stored.
        tokens (`dict[str, Account]`, *optional*): who may log in; the user "nextfail" with "hf_test" when left out.
        upload_mode (`str`, *optional*, defaults to "lfs"): "xet" takes uploads by Xet as well. The client alone
            decides between the two: it uses Xet unless `HF_HUB_DISABLE_XET` is set, and fails where there is none.

    Attributes:
        log (`list[Request]`): all requests so far.
        faults (`list[Fault]`): the first that matches a request happens to it.
    """

    def __init__(self, root: Path, tokens: dict[str, Account] | None = None, upload_mode: str = "lfs"):
        self.root = root
        self.tokens = tokens or {"hf_test": Account("nextfail")}
        self.upload_mode = upload_mode
        self.url = ""
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.xet = XetStore(root / "xet")
        self.lock = threading.RLock()

    def reset(self) -> None:
        """Forget all repositories, contents, requests and faults."""
        with self.lock:
            for folder in ("repos", "blobs"):
                shutil.rmtree(self.root / folder, ignore_errors=True)
            self.xet.reset()
            self.log.clear()
            self.faults.clear()

    def head(self, repo_type: str, repo_id: str) -> str | None:
        """Name the last commit on `main`, or return `None` when there is no such repository."""
        repository = self.load(repo_type, repo_id)
        return repository and repository.revision("main")

    def files(self, repo_type: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Read all files of a repository; none when there is no such repository."""
        repository = self.load(repo_type, repo_id)
        tree = repository.commits[repository.revision(revision)].tree if repository else {}
        return {path: self.blob_path(entry.sha256).read_bytes() for path, entry in tree.items()}

    def commits(self, repo_type: str, repo_id: str) -> list[str]:
        """List the titles of the commits on `main`, newest first; none when there is no such repository."""
        repository = self.load(repo_type, repo_id)
        return [commit.title for _, commit in repository.history("main")] if repository else []

    def load(self, repo_type: str, repo_id: str) -> Repository | None:
        try:
            return Repository.from_json(self._repository_path(repo_type, repo_id).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def save(self, repository: Repository) -> None:
        path = self._repository_path(repository.repo_type, repository.repo_id)
        write_atomically(path, repository.to_json().encode())

    def _repository_path(self, repo_type: str, repo_id: str) -> Path:
        return self.root / "repos" / FOLDERS[repo_type] / f"{repo_id}.json"

    def blob_path(self, sha256: str) -> Path:
        return self.root / "blobs" / sha256

    def put_blob(self, data: bytes) -> None:
        path = self.blob_path(hashlib.sha256(data).hexdigest())
        if not path.exists():
            write_atomically(path, data)

    def has_blob(self, sha256: str) -> bool:
        """Say whether the contents arrived, by LFS or by Xet."""
        with self.lock:
            if not self.blob_path(sha256).exists() and (data := self.xet.read(sha256)) is not None:
                self.put_blob(data)
            return self.blob_path(sha256).exists()

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.fullmatch(fault.method, method) and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    @contextlib.contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Listen on loopback, on any free port when it is 0, and yield the address."""
        server = Server(("127.0.0.1", port), type("HandlerOfHub", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield self.url
        finally:
            server.shutdown()
            server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # clients upload several files at a time


ROUTES: list[tuple[str, re.Pattern, Callable[..., None]]] = []
REPO_ID = r"(?P<repo_id>[^/]+(?:/[^/]+?)?)"  # "gpt2" is asked for too, although nobody can create it
PAGE = rf"/(?:(?P<folder>datasets|spaces)/)?{REPO_ID}"
API = rf"/api/(?P<folder>models|datasets|spaces)/{REPO_ID}"
REVISION = r"(?P<revision>[^/]+)"
SHA256 = r"(?P<sha256>[0-9a-f]{64})"


def route(method: str, *patterns: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Call a method of the handler for the paths that match, with the named groups; HEAD goes where GET goes."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        ROUTES.extend((method, re.compile(pattern), function) for pattern in patterns)
        return function

    return register


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass  # `Hub.log` has it

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ConnectionCut):
            self.close_connection = True

    def dispatch(self) -> None:
        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        self.unread = None if chunked else int(self.headers.get("Content-Length") or 0)  # bytes; `None` is not known
        self.request_log = Request(method=self.command, path=self.path, auth="Authorization" in self.headers, status=0)
        self.hub.log.append(self.request_log)
        self.fault = self.hub.next_fault(self.command, self.path)
        try:
            self.inject_fault()
            method = "GET" if self.command == "HEAD" else self.command
            for route_method, pattern, function in ROUTES:
                if method == route_method and (match := pattern.fullmatch(url.path)):
                    # A revision arrives as one segment ("refs%2Fpr%2F1"): split first, unquote after.
                    function(self, **{name: value and unquote(value) for name, value in match.groupdict().items()})
                    return
            raise HTTPError(404, f"no such route: {self.command} {url.path}")
        except HTTPError as error:
            self.send_json(error.body, error.status, error.headers)

    do_GET = do_HEAD = do_POST = do_PUT = dispatch

    def inject_fault(self) -> None:
        if self.fault is None:
            return
        time.sleep(self.fault.delay)
        if self.fault.hang:
            if self.fault.call is not None:
                self.fault.call()
            self.read_body()
            self.connection.recv(1)  # returns when the client has given up
            raise ConnectionCut
        if self.fault.status is not None:
            raise HTTPError(self.fault.status, "injected fault", headers=self.fault.headers)
        if self.fault.cuts_the_request():
            self.read_body(self.fault.drop_after or 0)
            self.cut_connection()

    def cut_connection(self) -> NoReturn:
        try:
            if self.fault.call is not None:
                self.fault.call()
        finally:
            with contextlib.suppress(OSError):  # the client may be gone: `call` may have killed it
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()
        raise ConnectionCut

    def read_body(self, limit: int | None = None) -> bytes:
        """Read the request's body (at most `limit` bytes), whether it has a length or comes in chunks."""
        if self.unread is not None:
            wanted = self.unread if limit is None else min(limit, self.unread)
            data = self.rfile.read(wanted)
            self.unread -= len(data)
            if len(data) < wanted:
                raise ConnectionError("the client went away")
            return data
        data = b""
        while limit is None or len(data) < limit:
            line = self.rfile.readline()
            if not line:
                raise ConnectionError("the client went away")
            size = int(line.split(b";")[0], 16)
            data += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                self.unread = 0
                break
        return data

    def read_json(self) -> Any:
        return json.loads(self.read_body() or b"{}")

    def send(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        if self.unread != 0:
            self.read_body()  # the rest of what the client sends: the connection stays usable
        if self.fault is not None and self.fault.lose_response:
            self.cut_connection()
        self.request_log["status"] = status
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.fault is not None and self.fault.truncate_after is not None:
            self.wfile.write(data[: self.fault.truncate_after])
            self.cut_connection()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        self.send(json.dumps(content).encode(), status, headers)

    def is_asked_for(self, option: str) -> bool:
        return self.query.get(option, "").lower() in ("true", "1")

    # Who may do what.

    def account(self) -> Account | None:
        """Say who asks, `None` for nobody; a bad token is refused even where none is needed, as on huggingface.co."""
        authorization = self.headers.get("Authorization")
        if authorization is None:
            return None
        token = authorization.removeprefix("Bearer ")
        if token not in self.hub.tokens:
            raise HTTPError(401, "Invalid credentials in Authorization header")
        return self.hub.tokens[token]

    def logged_in(self) -> Account:
        account = self.account()
        if account is None:
            raise HTTPError(401, "Invalid username or password.", headers={"WWW-Authenticate": "Bearer"})
        return account

    def writer_in(self, namespace: str) -> str:
        """Name the user, who may write in this namespace."""
        account = self.logged_in()
        if account.role != "write":
            raise HTTPError(403, "You must use a token with write access")
        if namespace != account.user:
            reason = f'You don\'t have the rights to create or write under the namespace "{namespace}"'
            raise HTTPError(403, reason)
        return account.user

    def repository(self, folder: str | None, repo_id: str, write: bool = False) -> Repository:
        account = self.account()
        repository = self.hub.load(REPO_TYPES[folder or "models"], repo_id)
        visible = repository is not None and (
            not repository.private or (account is not None and account.user == repository.namespace)
        )
        if not visible:
            # huggingface.co sends the anonymous a 401 without a code. Clients read "no such repository" in it for
            # `https://` only, so here the code must be there.
            if account is None:
                raise HTTPError(401, "Invalid username or password.", "RepoNotFound")
            raise HTTPError(404, "Repository not found", "RepoNotFound")
        if write:
            self.writer_in(repository.namespace)
        return repository

    def page_url(self, repo_type: str, repo_id: str) -> str:
        return f"{self.hub.url}/{'' if repo_type == 'model' else FOLDERS[repo_type] + '/'}{repo_id}"

    # Accounts and repositories.

    @route("GET", r"/api/whoami-v2")
    def whoami(self) -> None:
        account = self.logged_in()
        answer = {"type": "user", "id": account.user, "name": account.user, "fullname": account.user, "orgs": []}
        answer["auth"] = {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}}
        self.send_json(answer)

    @route("GET", r"/api/agent-harnesses")
    def harnesses(self) -> None:
        self.send_json({"standardEnvVars": [], "harnesses": {}})

    @route("GET", r"/api/telemetry/.*")
    def telemetry(self) -> None:
        self.send(b"")

    @route("POST", r"/api/validate-yaml")
    def validate_yaml(self) -> None:
        errors, warnings = [], []
        try:
            metadata = card_metadata(self.read_json()["content"])
            if metadata is None:
                warnings.append({"message": "empty or missing yaml metadata in repo card"})
            elif not isinstance(metadata, dict):
                errors.append({"message": "metadata must be a mapping"})
        except yaml.YAMLError as error:
            errors.append({"message": f"bad YAML: {error}"})
        self.send_json({"errors": errors, "warnings": warnings}, 400 if errors else 200)

    @route("POST", r"/api/repos/create")
    def create_repo(self) -> None:
        body = self.read_json()
        repo_type = body.get("type") or "model"
        namespace = body.get("organization") or self.logged_in().user
        repo_id = f"{namespace}/{body['name']}"
        url = self.page_url(repo_type, repo_id)
        with self.hub.lock:
            user = self.writer_in(namespace)
            if self.hub.load(repo_type, repo_id):
                # `create_repo(exist_ok=True)` reads the address out of the error.
                raise HTTPError(409, f"You already created this {repo_type} repo", body={"url": url})
            private = body.get("visibility") == "private" or bool(body.get("private"))
            repository = Repository(repo_type, repo_id, private, sdk=body.get("sdk"))
            attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
            self.hub.put_blob(attributes.encode())
            tree = {".gitattributes": Entry.regular(attributes.encode())}
            repository.add_commit("refs/heads/main", tree, "initial commit", "", user)
            self.hub.save(repository)
        self.send_json({"url": url, "name": repo_id, "id": uuid.uuid4().hex[:24]})

    @route("GET", r"/api/(?P<folder>models|datasets|spaces)")
    def listing(self, folder: str) -> None:
        """List the public repositories that carry a tag."""
        paths = sorted((self.hub.root / "repos" / folder).glob("*/*.json"))
        listed = [self.described(folder, f"{path.parent.name}/{path.stem}") for path in paths]
        self.send_json([one for one in listed if not one["private"] and self.query.get("filter") in one["tags"]])

    @route("GET", API, rf"{API}/revision/{REVISION}")
    def info(self, folder: str, repo_id: str, revision: str = "main") -> None:
        self.send_json(self.described(folder, repo_id, revision))

    def described(self, folder: str, repo_id: str, revision: str = "main") -> dict[str, Any]:
        repository = self.repository(folder, repo_id)
        oid = repository.revision(revision)
        commit = repository.commits[oid]
        card: dict[str, Any] = {}
        if "README.md" in commit.tree:
            readme = self.hub.blob_path(commit.tree["README.md"].sha256).read_text(encoding="utf-8")
            with contextlib.suppress(yaml.YAMLError):
                card = card_metadata(readme) or {}
        answer = {
            "_id": hashlib.sha1(repo_id.encode()).hexdigest()[:24],
            "id": repo_id,
            "author": repository.namespace,
            "sha": oid,
            "createdAt": list(repository.history(oid))[-1][1].date,
            "lastModified": commit.date,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [str(tag) for tag in card.get("tags") or []],
            "cardData": card or None,
            "siblings": [self.sibling(path, entry) for path, entry in sorted(commit.tree.items())],
        }
        if folder == "models":
            answer |= {name: card.get(name) for name in ("pipeline_tag", "library_name")} | {"modelId": repo_id}
        elif folder == "spaces":
            answer["sdk"] = card.get("sdk") or repository.sdk
        return answer

    def sibling(self, path: str, entry: Entry) -> dict[str, Any]:
        sibling: dict[str, Any] = {"rfilename": path}
        if self.is_asked_for("blobs"):
            sibling |= {"size": entry.size, "blobId": entry.oid}
            if entry.is_lfs:
                sibling["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
        return sibling

    @route("GET", rf"{API}/refs")
    def refs(self, folder: str, repo_id: str) -> None:
        refs = self.repository(folder, repo_id).refs.items()
        answer: dict[str, list] = {"converts": [], "pullRequests": []}
        for kind, prefix in (("branches", "refs/heads/"), ("tags", "refs/tags/")):
            answer[kind] = [
                {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid}
                for ref, oid in refs
                if ref.startswith(prefix)
            ]
        self.send_json(answer)

    @route("GET", rf"{API}/commits/{REVISION}")
    def list_commits(self, folder: str, repo_id: str, revision: str) -> None:
        commits = [
            {
                "id": oid,
                "title": commit.title,
                "message": commit.message,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for oid, commit in self.repository(folder, repo_id).history(revision)
        ]
        self.send_json(commits, headers={"X-Total-Count": str(len(commits))})

    # Files and folders.

    def nodes(self, repository: Repository, revision: str, expand: bool) -> dict[str, dict[str, Any]]:
        """Describe every file and every folder of a revision."""
        oid = repository.revision(revision)
        commit = repository.commits[oid]
        last_commit = {"lastCommit": {"id": oid, "title": commit.title, "date": commit.date}} if expand else {}
        nodes: dict[str, dict[str, Any]] = {}
        for path, entry in commit.tree.items():
            parts = path.split("/")
            for depth in range(1, len(parts)):
                parent = "/".join(parts[:depth])
                folder_id = hashlib.sha1(parent.encode()).hexdigest()
                nodes[parent] = {"type": "directory", "oid": folder_id, "size": 0, "path": parent, **last_commit}
            nodes[path] = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path, **last_commit}
            if entry.is_lfs:
                nodes[path]["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
        return nodes

    @route("GET", rf"{API}/tree/{REVISION}(?:/(?P<path>.+))?")
    def tree(self, folder: str, repo_id: str, revision: str, path: str | None) -> None:
        nodes = self.nodes(self.repository(folder, repo_id), revision, self.is_asked_for("expand"))
        prefix = (path or "").strip("/")
        if prefix and nodes.get(prefix, {}).get("type") != "directory":
            raise HTTPError(404, f'{prefix} does not exist on "{revision}"', "EntryNotFound")
        prefix = f"{prefix}/" if prefix else ""
        below = {name: node for name, node in sorted(nodes.items()) if name.startswith(prefix)}
        if not self.is_asked_for("recursive"):
            below = {name: node for name, node in below.items() if "/" not in name.removeprefix(prefix)}
        self.send_json(list(below.values()))

    @route("POST", rf"{API}/paths-info/{REVISION}")
    def paths_info(self, folder: str, repo_id: str, revision: str) -> None:
        form = parse_qs(self.read_body().decode())
        expand = form.get("expand", ["false"])[0].lower() == "true"
        nodes = self.nodes(self.repository(folder, repo_id), revision, expand)
        paths = [path.strip("/") for path in form.get("paths", [])]
        self.send_json([nodes[path] for path in paths if path in nodes])

    # Upload.

    @route("POST", rf"{API}/preupload/{REVISION}")
    def preupload(self, folder: str, repo_id: str, revision: str) -> None:
        body = self.read_json()
        repository = self.repository(folder, repo_id, write=True)
        tree = repository.commits[repository.revision(revision)].tree
        files = []
        for file in body["files"]:
            is_lfs = file["size"] >= LFS_THRESHOLD or file["path"].endswith(LFS_SUFFIXES)
            answer = {"path": file["path"], "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
            if old := tree.get(file["path"]):  # what is the same is not pushed again
                answer["oid"] = old.sha256 if old.is_lfs else old.oid
            files.append(answer)
        self.send_json({"files": files})

    @route("POST", rf"{PAGE}\.git/info/lfs/objects/batch")
    def lfs_batch(self, folder: str | None, repo_id: str) -> None:
        body = self.read_json()
        self.repository(folder, repo_id, write=True)
        objects = []
        for wanted in body["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self.hub.has_blob(wanted["oid"]):  # without actions: it is there already
                # Clients PUT without their token: the address is the secret (presigned on huggingface.co).
                answer["authenticated"] = True
                answer["actions"] = {
                    "upload": {"href": f"{self.hub.url}/_lfs/{wanted['oid']}", "header": {}},
                    "verify": {"href": f"{self.hub.url}/_lfs/verify", "header": {}},
                }
            objects.append(answer)
        headers = {"Content-Type": "application/vnd.git-lfs+json"}
        self.send_json({"transfer": "basic", "objects": objects}, headers=headers)

    @route("PUT", rf"/_lfs/{SHA256}")
    def lfs_put(self, sha256: str) -> None:
        data = self.read_body()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise HTTPError(400, f"the contents are not {sha256}")
        self.hub.put_blob(data)
        self.send(b"", headers={"ETag": f'"{sha256}"'})

    @route("POST", r"/_lfs/verify")
    def lfs_verify(self) -> None:
        body = self.read_json()
        self.logged_in()
        if not self.hub.has_blob(body["oid"]):
            raise HTTPError(404, "object not found")
        self.send_json({})

    @route("GET", rf"{API}/xet-(?P<kind>read|write)-token/{REVISION}")
    def xet_token(self, folder: str, repo_id: str, kind: str, revision: str) -> None:
        self.repository(folder, repo_id, write=kind == "write")
        if self.hub.upload_mode != "xet":
            raise HTTPError(404, "there is no Xet here: set HF_HUB_DISABLE_XET=1")
        answer = {"casUrl": self.hub.xet.lease(), "accessToken": "xet", "exp": int(time.time()) + 3600}
        headers = {
            "X-Xet-Cas-Url": answer["casUrl"],
            "X-Xet-Access-Token": answer["accessToken"],
            "X-Xet-Token-Expiration": str(answer["exp"]),
        }
        self.send_json(answer, headers=headers)

    @route("POST", rf"{API}/commit/{REVISION}")
    def create_commit(self, folder: str, repo_id: str, revision: str) -> None:
        lines = [json.loads(line) for line in self.read_body().splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        operations = [(line["key"], line["value"]) for line in lines if line["key"] != "header"]
        with self.hub.lock:  # all of it or nothing
            repository = self.repository(folder, repo_id, write=True)
            ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
            if ref not in repository.refs:
                raise HTTPError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            head = repository.refs[ref]
            if header.get("parentCommit") not in (None, head):
                raise HTTPError(412, "A commit has happened since. Please refresh and try again.")
            tree = self.changed_tree(repository.commits[head].tree, operations)
            description = header.get("description", "")
            oid = repository.add_commit(ref, tree, header["summary"], description, self.logged_in().user)
            self.hub.save(repository)
        url = f"{self.page_url(repository.repo_type, repo_id)}/commit/{oid}"
        self.send_json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def changed_tree(self, tree: dict[str, Entry], operations: Iterable[tuple[str, dict]]) -> dict[str, Entry]:
        """Delete first, as huggingface.co does: a commit may replace a folder."""
        tree, added = dict(tree), {}
        for operation, value in operations:
            path = value["path"]
            if operation == "deletedFile":
                if tree.pop(path, None) is None:
                    raise HTTPError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            elif operation == "deletedFolder":
                tree = {name: entry for name, entry in tree.items() if not name.startswith(path.rstrip("/") + "/")}
            elif operation == "file":
                data = base64.b64decode(value["content"])
                self.hub.put_blob(data)
                added[path] = Entry.regular(data)
            elif operation == "lfsFile":
                if not self.hub.has_blob(value["oid"]):
                    reason = f"an LFS pointer pointed to a file that does not exist: {path}"
                    raise HTTPError(400, f"Your push was rejected because {reason}")
                added[path] = Entry.lfs(value["oid"], self.hub.blob_path(value["oid"]).stat().st_size)
            else:
                raise HTTPError(400, f"no such operation: {operation}")
        return tree | added

    # Download.

    def find(self, folder: str | None, repo_id: str, revision: str, path: str) -> tuple[str, Entry]:
        repository = self.repository(folder, repo_id)
        oid = repository.revision(revision)
        if path not in repository.commits[oid].tree:
            raise HTTPError(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": oid})
        return oid, repository.commits[oid].tree[path]

    @route("GET", rf"{PAGE}/resolve/{REVISION}/(?P<path>.+)")
    def resolve(self, folder: str | None, repo_id: str, revision: str, path: str) -> None:
        """Redirect as huggingface.co does: small files to its cache, LFS files to another host."""
        oid, entry = self.find(folder, repo_id, revision, path)
        etag = f'"{entry.sha256 if entry.is_lfs else entry.oid}"'
        headers = {"X-Repo-Commit": oid, "X-Linked-Etag": etag, "Accept-Ranges": "bytes"}
        if entry.is_lfs:
            # "localhost" is not "127.0.0.1" to a client: this plays the CDN, which must not see tokens.
            cdn = f"http://localhost:{urlsplit(self.hub.url).port}/_cdn/{entry.sha256}"
            self.send(b"", 302, {**headers, "ETag": etag, "X-Linked-Size": str(entry.size), "Location": cdn})
        else:
            cache = f"/api/resolve-cache/{folder or 'models'}/{repo_id}/{oid}/{quote(path)}"
            self.send(b"", 307, {**headers, "Location": cache})

    @route("GET", rf"/api/resolve-cache/(?P<folder>models|datasets|spaces)/{REPO_ID}/{REVISION}/(?P<path>.+)")
    def resolve_cache(self, folder: str, repo_id: str, revision: str, path: str) -> None:
        oid, entry = self.find(folder, repo_id, revision, path)
        etag = f'"{entry.oid}"'
        self.send_content(entry.sha256, {"X-Repo-Commit": oid, "X-Linked-Etag": etag, "ETag": etag})

    @route("GET", rf"/_cdn/{SHA256}")
    def cdn(self, sha256: str) -> None:
        self.send_content(sha256, {"ETag": f'"{sha256}"'})

    def send_content(self, sha256: str, headers: dict[str, str]) -> None:
        """Send a file, or the range of it that was asked for (streaming, and downloads that go on)."""
        data, status = self.hub.blob_path(sha256).read_bytes(), 200
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked:
            total, first, last = len(data), asked[1], asked[2]
            start = int(first) if first else max(total - int(last), 0)
            stop = min(int(last) + 1, total) if first and last else total
            if start >= total:
                raise HTTPError(416, "Requested range not satisfiable", headers={"Content-Range": f"bytes */{total}"})
            data, status = data[start:stop], 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        self.send(data, status, headers)


def parse_token(text: str) -> tuple[str, Account]:
    token, _, account = text.partition("=")
    user, _, role = account.partition(":")
    return token, Account(user, role or "write")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A small Hugging Face Hub on loopback.")
    parser.add_argument("--root", type=Path, required=True, help="where everything is stored")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", action="append", default=[], type=parse_token, help="TOKEN=USER[:ROLE]")
    parser.add_argument("--xet", action="store_true", help="take uploads by Xet too")
    arguments = parser.parse_args()
    hub = Hub(arguments.root, dict(arguments.token), "xet" if arguments.xet else "lfs")
    with hub.serve(arguments.port) as url:
        print("READY", url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
