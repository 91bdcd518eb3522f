"""SAM's containers: the programs and images they need, the built template, and calls of functions in them.

Where something is missing, `Missing` says what to do about it. When it is wrong, another code runs than the
stack's, or against another AWS.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import boto3
from botocore.config import Config

from orchestrator.installed_layers import lay_out
from orchestrator.rehearsal.template import load_template
from samlocal import ROOT, CheckFailed, Missing, report, run, say
from samlocal.aws import BUCKET, INBOX, KEYS, MACHINE_ARN, REGION, Aws, find_port

BUILD = ROOT / "build" / "sam"
SAM_VENV = ROOT / "build" / "sam-venv"
IMAGE = "lambda-python:3.13"
OWN_IMAGE = "aliquot-sam-local:3.13"
SDK = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3")
RECIPE = f"""docker pull public.ecr.aws/lambda/python:3.13
  docker tag public.ecr.aws/lambda/python:3.13 {IMAGE}
or name one that is here: make sam-local IMAGE=..."""
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
_LOG_CHARACTERS = 8000


@dataclass(frozen=True)
class Tools:
    """The programs and the image that functions run with."""

    sam: str
    image: str
    environment: dict[str, str]


def find_tools(image: str) -> Tools:
    """Find or make what is needed; raises Missing with what to do about it."""
    if shutil.which("docker") is None or run(["docker", "info"]).returncode:
        raise Missing("Docker does not answer; install it, or start its daemon (dockerd), and try again")
    if run(["docker", "image", "inspect", image]).returncode:
        raise Missing(f"no image {image} here. With a registry at hand:\n  {RECIPE}")
    sam = shutil.which("sam") or install_sam()
    # SAM calls make for layers, which is not to take over what `make sam-local` was told
    environment = dict(os.environ, SAM_CLI_TELEMETRY="0", AWS_DEFAULT_REGION=REGION, MAKEFLAGS="")
    environment |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    environment["PATH"] = os.pathsep.join([str(find_python().parent), environment["PATH"]])
    return Tools(sam, derive_image(image), environment)


def install_sam() -> str:
    """Make a venv for the SAM CLI, whose own pins would fight with the project's; gives its program."""
    program = SAM_VENV / "bin" / "sam"
    if not program.exists():
        say(f"installing aws-sam-cli into {SAM_VENV.relative_to(ROOT)}")
        venv.create(SAM_VENV, with_pip=True)
        pip = [SAM_VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
        if (done := run([*pip, "install", "--quiet", "aws-sam-cli"])).returncode:
            said = done.stderr.strip()
            raise Missing(f"sam is not on PATH, and pip could not install aws-sam-cli:\n{said}")
    return str(program)


def find_python() -> Path:
    """The interpreter of Lambda's version, with which `sam build` makes layers.

    pyenv's shims are on PATH for versions that are not switched on, so that it is asked what it runs as.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for found in [shutil.which("python3.13"), *sorted(pyenv.glob("3.13*/bin/python3.13"))]:
        if found and not (done := run([str(found), "-c", "import sys; print(sys.executable)"])).returncode:
            return Path(done.stdout.strip())
    raise Missing("no python3.13 on PATH, which `sam build` needs to compile layers")


def derive_image(image: str) -> str:
    """Give an image with an AWS SDK, as Lambda's runtime has one; the image itself where it is there."""
    asked = run(["docker", "run", "--rm", "--entrypoint", "python3", image, "-c", "import boto3"])
    if not asked.returncode:
        return image
    with tempfile.TemporaryDirectory() as folder:
        for name in SDK:
            lay_out(name, Path(folder, "sdk"))
        recipe = f"FROM {image}\nCOPY sdk /var/runtime/\nENV PYTHONPATH=/var/task:/opt/python:/var/runtime\n"
        Path(folder, "Dockerfile").write_text(recipe, encoding="utf-8")
        made = run(["docker", "build", "--quiet", "--tag", OWN_IMAGE, folder], DOCKER_BUILDKIT="0")
        if made.returncode:
            raise Missing(f"docker could not add boto3 to {image}:\n{made.stderr.strip()}")
    return OWN_IMAGE


def validate_template(tools: Tools) -> None:
    """Have SAM and its own cfn-lint look at the template."""
    begun = time.monotonic()
    command = [tools.sam, "validate", "--lint", "--template", ROOT / "template.yaml"]
    done = run(command, **tools.environment)
    if done.returncode:
        raise CheckFailed(f"sam validate --lint:\n{(done.stdout + done.stderr)[-_LOG_CHARACTERS:]}")
    report("sam validate --lint", "", begun)


def build_stack(tools: Tools) -> None:
    """Run `sam build` for this machine's processor."""
    begun = time.monotonic()
    command = [tools.sam, "build", "--template", ROOT / "template.yaml", "--build-dir", BUILD / "stack"]
    command += ["--cache-dir", BUILD / "cache", "--parameter-overrides", f"Architecture={ARCHITECTURE}"]
    done = run(command, **tools.environment)
    if done.returncode:
        raise CheckFailed(f"sam build:\n{done.stderr[-_LOG_CHARACTERS:]}")
    report("sam build", "", begun)


def write_template(aws: Aws) -> Path:
    """Write the built template with moto's addresses in the place of AWS's; gives its path.

    SAM passes on only such variables as a template declares, and an endpoint is none of them.
    """
    template = load_template(BUILD / "stack" / "template.yaml")
    template["Parameters"]["Architecture"]["Default"] = ARCHITECTURE
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    variables |= {
        "AWS_ENDPOINT_URL": aws.seen_endpoint,
        "ALIQUOT_BUCKET": BUCKET,
        "ALIQUOT_QUEUES": json.dumps(aws.queues),
        "ALIQUOT_ENCRYPTION": "{}",
    }
    intake = template["Resources"]["Intake"]["Properties"]["Environment"]["Variables"]
    intake |= {"ALIQUOT_INBOX": INBOX, "ALIQUOT_STATE_MACHINE": MACHINE_ARN}
    freeze_code(template["Resources"])
    path = BUILD / "stack" / "local.json"
    path.write_text(json.dumps(template, indent=1), encoding="utf-8")
    return path


def freeze_code(resources: dict[str, Any]) -> None:
    """Point functions and layers that `sam build` left where they lie at copies.

    SAM ends a warm container, at work or not, as soon as one of its files is written to.
    """
    shutil.rmtree(BUILD / "code", ignore_errors=True)
    for resource in resources.values():
        for key in ("CodeUri", "ContentUri"):
            uri = resource.get("Properties", {}).get(key)
            source = (BUILD / "stack" / str(uri)).resolve()
            if uri is None or source.is_relative_to(BUILD):
                continue
            copy = BUILD / "code" / source.relative_to(ROOT)
            if not copy.exists():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            resource["Properties"][key] = str(copy)


# ---- calls ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a function answered, and the log of its container."""

    value: Any
    log: str


def invoke(tools: Tools, template: Path, function: str, event: str) -> Answer:
    """Send a function a file of events/, in a container of its own; raises CheckFailed where it fails."""
    command = [tools.sam, "local", "invoke", function, "--event", ROOT / "events" / event]
    done = run([*command, *list_options(tools, template)], **tools.environment)
    log = done.stderr[-_LOG_CHARACTERS:]
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise CheckFailed(f"{function} with events/{event}: sam ended with status {done.returncode}\n{log}")
    value = json.loads(lines[-1])
    if isinstance(value, dict) and "errorType" in value:
        raise CheckFailed(f"{function} with events/{event} raised {value}\n{log}")
    return Answer(value, log)


def list_options(tools: Tools, template: Path) -> list[str]:
    """What `sam local` is told of containers."""
    options = ["--template", str(template), "--invoke-image", tools.image, "--skip-pull-image"]
    return [*options, "--region", REGION]


Call = Callable[[str, dict[str, Any]], Any]


@dataclass(frozen=True)
class Served:
    """Lambda's Invoke as SAM serves it, and what its containers write."""

    client: Any
    log: IO[str]

    def __call__(self, function: str, event: dict[str, Any]) -> Any:
        """What the function answers; raises CheckFailed where it fails."""
        said = self.client.invoke(FunctionName=function, Payload=json.dumps(event))
        text = said["Payload"].read().decode()
        if said.get("FunctionError") or '"errorType"' in text or not text.startswith("{"):
            raise CheckFailed(f"{function} answered {text!r}\n{self._read_log()[-_LOG_CHARACTERS:]}")
        return json.loads(text)

    def list_durations_ms(self) -> list[float]:
        """How long each invocation took in its container, of a cold one with its INIT, as they ended."""
        return [float(found) for found in re.findall(r"\tDuration: ([\d.]+) ms", self._read_log())]

    def _read_log(self) -> str:
        self.log.seek(0)
        return self.log.read()


@contextlib.contextmanager
def start_lambda(tools: Tools, template: Path) -> Iterator[Served]:
    """Serve Lambda's Invoke by `sam local start-lambda`."""
    port = find_port("127.0.0.1")
    command = [tools.sam, "local", "start-lambda", "--port", str(port), "--warm-containers", "LAZY"]
    command += list_options(tools, template)
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w+") as log:
        server = subprocess.Popen(command, env=tools.environment, stdout=log, stderr=log)
        client = boto3.client(
            "lambda",
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{port}",
            config=Config(read_timeout=900, retries={"max_attempts": 0}),
            **KEYS,
        )
        try:
            wait_for_port(port, server)
            with Path(log.name).open() as seen:
                yield Served(client, seen)
        finally:
            server.terminate()
            server.wait(30)


def wait_for_port(port: int, server: subprocess.Popen[bytes], limit_s: float = 60.0) -> None:
    """Return when something listens on the port."""
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise CheckFailed("sam local start-lambda does not listen")


def read_event(name: str) -> Any:
    """A file of events/."""
    return json.loads((ROOT / "events" / name).read_text(encoding="utf-8"))
