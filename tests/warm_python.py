"""Python processes that begin where one has imported what takes seconds and is the same for all of them.

Libraries of Hugging Face are left out: they read the environment when they are imported.
"""

import gc
import importlib
import json
import os
import runpy
import select
import subprocess
import sys
import types
from pathlib import Path

LARGE = ["matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "pandas", "pyarrow.dataset"]
LARGE += ["torch", "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.tensor"]


class WarmPython:
    """A process that has imported what is large, and becomes what it is asked for in copies of itself."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, argv: list[str], cwd: Path, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess:
        """Do what `subprocess.run([sys.executable, *argv])` does; the output passes through files in a folder."""
        out, err = folder / "stdout.txt", folder / "stderr.txt"
        asked = {"argv": argv, "cwd": str(cwd), "env": env, "files": [os.devnull, str(out), str(err)]}
        self.server.stdin.write(f"{json.dumps(asked)}\n")
        self.server.stdin.flush()
        if not select.select([self.server.stdout], [], [], 300)[0]:
            self.close()
            raise subprocess.TimeoutExpired(argv, 300, err.read_text(encoding="utf-8"))
        code = int(self.server.stdout.readline())
        return subprocess.CompletedProcess(argv, code, *(path.read_text(encoding="utf-8") for path in (out, err)))

    def close(self) -> None:
        """End it, and whatever it has become."""
        os.killpg(self.server.pid, 9)
        self.server.wait()


def serve() -> dict | None:
    """Fork for each line of the standard input, and answer with the exit code; returns in the copies alone."""
    for module in LARGE:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def become(argv: list[str], cwd: str, env: dict[str, str], files: list[str]) -> None:
    """Run code, a module or a script in this process, as an interpreter that begins there."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for descriptor, path in enumerate(files):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    importlib.reload(sys.modules["sitecustomize"])
    if argv[0] == "-c":
        sys.path[0], sys.argv = "", ["-c", *argv[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(argv[1], "<string>", "exec"), main.__dict__)
    elif argv[0] == "-m":
        sys.path[0], sys.argv = cwd, argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(argv[0]).parent), argv
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    this = sys.modules["__main__"]
    if asked := serve():
        become(**asked)
