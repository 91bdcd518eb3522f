"""What a run carries with it, fetched to where a function can read it: references, prepared files, code.

    manifest --localize--> JobSpec for hosts;  --describe--> the job itself, for its summary and its columns

References and code lie in the bucket under their SHA-256 and are verified as they arrive; a warm environment
has them already. Jobs are those of the stack's allow-list; code that a run brings is opened only where the
stack was deployed to allow it. Owns the cache in `/tmp` and these two checks. When it is wrong, whoever may
send a message chooses what code runs.
"""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aliquot.aws import S3Store
from aliquot.errors import OpenFailed
from aliquot.job import Job
from aliquot.loading import JobSpec, NoOptions, describe_function, load_job, make_options

REFERENCES = "references/"
PREPARED = "prepared/"


class Carried:
    """The references, prepared files and code of runs, in a folder.

    Args:
        store: gives the store of a prefix of the bucket.
        jobs: the allow-list: address by name.
        cache: the folder.
        allows_code: whether runs may bring their own code.
    """

    def __init__(
        self, store: Callable[[str], S3Store], jobs: Mapping[str, str], cache: Path, *, allows_code: bool
    ) -> None:
        self._store, self._jobs, self._cache, self._allows_code = store, jobs, cache, allows_code

    def localize(self, run: str, manifest: Mapping[str, Any]) -> JobSpec:
        """What hosts need to open the run's job, everything fetched.

        Raises:
            OpenFailed: the stack does not run such a job.
            StoreError: something is not there, or is not what it should be.
        """
        address, search_path = self._find_code(manifest)
        options = {name: self._localize_option(value) for name, value in manifest["options"].items()}
        return JobSpec(address, search_path, options, str(self._fetch_prepared(run)))

    def describe(self, run: str, manifest: Mapping[str, Any]) -> tuple[Job, Any, Path]:
        """The run's job, its options and prepared files, for what needs no host; references stay away.

        A function that a run brings is not imported: its columns are its rows', it has no summary, and what
        it needs may not be here. Of a job that this stack does not run nothing was done.
        """
        try:
            address, search_path = self._find_code(manifest)
        except OpenFailed:
            address = ""
        if not address or manifest.get("is_function"):
            return describe_function(manifest["job"]), NoOptions(), self._cache
        job = load_job(JobSpec(address, search_path))
        return job, make_options(job, manifest["options"]), self._fetch_prepared(run)

    def _find_code(self, manifest: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        """A job's address, and the folders in which it is looked for."""
        name, package = manifest["job"], manifest.get("package", "")
        if package:
            if not self._allows_code:
                raise OpenFailed(name, "brings its own code, and this stack was deployed without AllowCode")
            return manifest["identity"]["job"], (str(self._fetch_package(package)),)
        if name not in self._jobs:
            allowed = ", ".join(self._jobs) or "none"
            raise OpenFailed(name, f"is not on this stack's allow-list ({allowed})")
        return self._jobs[name], ()

    def _localize_option(self, value: Any) -> Any:
        """A reference's option with the path at which its content lies here; other values as they are."""
        if not isinstance(value, Mapping) or "sha256" not in value:
            return value
        return {"path": str(self._fetch_reference(value["sha256"])), "sha256": value["sha256"]}

    def _fetch_reference(self, sha256: str) -> Path:
        path = self._cache / "references" / sha256
        if not path.exists():
            self._store(REFERENCES).get_file(sha256, path, sha256)
        return path

    def _fetch_package(self, sha256: str) -> Path:
        """The folder of a package of code, unpacked once."""
        folder = self._cache / "packages" / sha256
        if not folder.exists():
            aside = folder.with_name(f"{sha256}.{uuid.uuid4().hex}")
            with zipfile.ZipFile(self._fetch_reference(sha256)) as package:
                package.extractall(aside)  # names that climb out are cut by zipfile itself
            aside.replace(folder)
        return folder

    def _fetch_prepared(self, run: str) -> Path:
        """The folder that the job's `prepare` wrote, fetched once."""
        folder = self._cache / "prepared" / run
        folder.mkdir(parents=True, exist_ok=True)
        store = self._store(f"runs/{run}/")
        for key in store.list_keys(PREPARED):
            path = folder / key.removeprefix(PREPARED)
            if not path.exists():
                store.get_file(key, path)
        return folder
