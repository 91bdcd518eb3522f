"""The stack rehearsed on this machine: the real template on moto, its real handlers, for one command.

    template.yaml, installed layers --rehearse--> a stack in this process --a thread--> drained until the end

It delivers what is due and skips what is waited for, so a run's pauses cost no time. Nothing of it is left
when the command ends. Owns that thread. Imports the rehearsal, which is the extra `rehearsal`. When it is
wrong, a rehearsed run stands still.
"""

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aliquot.processes import count_cores
from orchestrator.aws.site import Pace, Site, make_link
from orchestrator.catalog import KnownJob
from orchestrator.own_layer import assemble_image, assemble_own_layer, comes_in_image, is_own, spell_own
from orchestrator.stack.aws import make_session
from orchestrator.stack.errors import MissingTool
from orchestrator.stack.files import stack_files
from orchestrator.stack.outputs import read_outputs

if TYPE_CHECKING:
    from orchestrator.rehearsal import Stack

NAME, REGION = "rehearsal", "us-east-1"
_DRAIN_S = 5.0
_IDLE_S = 0.05
_PACE = Pace(0.2, 0.5)
_NEEDED = ("boto3", "moto", "samtranslator", "yaml")
_OWN_LAYER = "arn:aws:lambda:us-east-1:123456789012:layer:own:1"
_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
_MERGES = "reduce-deps"  # the layer of functions that run no job: workers have none of it
_INSTALL = 'pip install "aliquot[rehearsal]"'


@contextmanager
def rehearse_site(known: KnownJob, *, takes_code: bool) -> Iterator[Site]:
    """A stack of this command's own, which has an installed job of the user's as a layer.

    Raises:
        MissingTool, DistributionsMissing: the rehearsal is not installed.
        UnknownJob: the job's package has no files.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingTool(", ".join(missing), "is not installed, and rehearsals need it", _INSTALL)
    from orchestrator.installed_layers import assemble_layers, find_cache
    from orchestrator.rehearsal import rehearse

    parameters = {"AllowCode": "true" if takes_code else "false"}
    with stack_files() as folder, tempfile.TemporaryDirectory(prefix="aliquot-own-") as own:
        layers = assemble_layers(folder, find_cache())
        if not takes_code and is_own(known):
            parameters |= {"Jobs": spell_own(known), "JobLayer": _OWN_LAYER}
            layers[_OWN_LAYER] = Path(own) / "layer"
            _assemble_own(known, folder, layers[_OWN_LAYER])
            if comes_in_image(known):
                parameters |= {"WorkerImageUri": _IMAGE}
                layers["SmallImageWorker"] = Path(own) / "image"
                assemble_image(known, folder, layers["CommonDeps"], layers["SmallImageWorker"])
        template = folder / "template.yaml"
        with rehearse(
            template, parameters=parameters, code=layers, region=REGION, concurrency=max(2, count_cores())
        ) as stack:
            pairs = [{"OutputKey": key, "OutputValue": str(value)} for key, value in stack.outputs.items()]
            outputs = read_outputs({"StackName": NAME, "Outputs": pairs}, REGION)
            link = make_link(make_session(region=REGION))
            with Drain(stack) as drain:
                yield Site(outputs, link, _PACE, is_rehearsal=True, check=drain.check)


def _assemble_own(known: KnownJob, stack: Path, folder: Path) -> None:
    """Put a layer of the job's into `folder`."""
    from orchestrator.installed_layers import plan_layers

    held = plan_layers(stack).layers
    present = [each.name for name, layer in held.items() if name != _MERGES for each in layer]
    assemble_own_layer(known, present, folder)


class Drain:
    """A thread that delivers what is due on a rehearsed stack, as long as it is entered."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aliquot-rehearsal", daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(_DRAIN_S + 1)

    def check(self) -> None:
        """Raise what ended the thread, if something did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        from orchestrator.rehearsal import StillBusy

        try:
            while not self._is_over.wait(_IDLE_S):
                try:
                    self._stack.drain(_DRAIN_S)
                except StillBusy:  # it is: this looks whether the session has ended
                    continue
        except BaseException as err:  # noqa: BLE001 - carried to the session by `check`
            self._failure = err
