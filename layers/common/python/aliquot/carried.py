"""What a run carries with it, fetched to where a function can read it: references, prepared files, code.

    manifest --localize--> JobSpec for hosts;  --describe--> the job itself, for its summary and its columns

References and code lie in the bucket under their SHA-256 and are verified as they arrive; a warm environment
has them already, in its `cache`. Jobs are those of the stack's allow-list; code that a run brings is opened
only where the stack was deployed to allow it. Owns what is kept under which name, and these two checks. When
it is wrong, whoever may send a message chooses what code runs.
"""

from __future__ import annotations

import shutil
import threading
import uuid
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aliquot.aws import S3Store
from aliquot.cache import Cache
from aliquot.errors import NoRoom, OpenFailed, StoreError, Undecodable
from aliquot.fetching import FileServer
from aliquot.folders import Listing, is_digest, is_inside, read_listing
from aliquot.job import Job
from aliquot.keys import MANIFEST
from aliquot.loading import JobSpec, NoOptions, describe_function, load_job, make_options
from aliquot.notes import decoding
from aliquot.references import map_references, walk_references
from aliquot.told import TABLES, make_told

REFERENCES = "references/"
PREPARED = "prepared/"
_PACKAGES, _FILES, _LISTING = "packages/", "files", "listing"
MOST_CODE_BYTES = 250 << 20  # of a package, unpacked: as much as Lambda takes of a function's own
MOST_CODE_FILES = 20_000
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # LZMA takes the memory that it is told to


class Carried:
    """The references, prepared files and code of runs, in a cache.

    Args:
        store: gives the store of a prefix of the bucket.
        jobs: the allow-list: address by name.
        allows_code: whether runs may bring their own code.
    """

    def __init__(
        self, store: Callable[[str], S3Store], jobs: Mapping[str, str], cache: Cache, *, allows_code: bool
    ) -> None:
        self._store, self._jobs, self._cache, self._allows_code = store, jobs, cache, allows_code
        self._folders: dict[str, Listing] = {}
        self._server: FileServer | None = None
        self._served_run = ""
        self._lock = threading.RLock()  # of the cache: hosts ask while another stage of their run is opened

    def localize(self, run: str, manifest: Mapping[str, Any]) -> JobSpec:
        """What hosts need to open the run's job, everything fetched; all else may be removed from the cache.

        Called again for the same run (another of its stages), it leaves hosts that are open what they have.

        Raises:
            OpenFailed: the stack does not run such a job, or its functions have no room for it.
            StoreError: something is not there, or is not what it should be.
        """
        if run != self._served_run:
            self.close()
            self._served_run = run
        self._hold(run, manifest)
        try:
            address, search_path = self._find_code(manifest)
            options = {
                name: map_references(value, self._localize_reference)
                for name, value in manifest["options"].items()
            }
            return JobSpec(address, search_path, options, str(self._fetch_prepared(run)))
        except (NoRoom, Undecodable) as err:  # however often it is tried
            raise OpenFailed(manifest["job"], str(err)) from err

    def describe(self, run: str, manifest: Mapping[str, Any]) -> tuple[Job, Any, Path]:
        """The run's job, its options and prepared files, for what needs no host; references stay away.

        A function that a run brings is not imported: its columns are its rows', it has no summary, and what
        it needs may not be here; nor is a job of which the manifest tells all that tables need. Of a job that
        this stack does not run nothing was done.
        """
        if manifest.get(TABLES) is not None:
            with decoding(MANIFEST):
                return make_told(manifest["job"], manifest[TABLES]), NoOptions(), self._cache.folder
        self._hold(run, manifest)
        try:
            address, search_path = self._find_code(manifest)
        except OpenFailed:
            address = ""
        if not address or manifest.get("is_function"):
            return describe_function(manifest["job"]), NoOptions(), self._cache.folder
        job, prepared = load_job(JobSpec(address, search_path)), self._fetch_prepared(run)
        if job.prepare is not None and not any(prepared.iterdir()):  # it refused: there is nothing to sum up
            job = replace(job, summary=None)
        return job, make_options(job, manifest["options"]), prepared

    def close(self) -> None:
        """Fetch nothing more for the hosts of the run that was localized."""
        if self._server is not None:
            self._server.close()
        self._server, self._served_run = None, ""
        self._folders.clear()

    def spell_references(self, text: str, options: Mapping[str, Any]) -> str:
        """A text in which references have the names that the user gave them, not those of the cache."""
        for _, value in walk_references(options):
            path = self._cache.folder / REFERENCES / value["sha256"]
            for spelt in (path / _FILES, path):
                text = text.replace(str(spelt), value["path"])
        return text

    def put_prepared(self, run: str, path: Path, folder: Path) -> None:
        """Put a file that the job's `prepare` wrote into `folder`; raises StoreError."""
        name = path.relative_to(folder).as_posix()
        self._store(f"runs/{run}/").put_file(f"{PREPARED}{name}", path)
        with self._lock:
            self._cache.keep(f"{PREPARED}{run}/{name}")

    def _hold(self, run: str, manifest: Mapping[str, Any]) -> None:
        """Keep what this run's job maps, and nothing of the run before it, from being removed.

        Of a folder it is the list: its files are asked for, and make room for each other.
        """
        given = [value for _, value in walk_references(manifest["options"])]
        names = [
            f"{REFERENCES}{value['sha256']}" + (f"/{_LISTING}" if value.get("is_folder") else "")
            for value in given
        ]
        package = manifest.get("package", "")
        code = [f"{_PACKAGES}{package}", f"{REFERENCES}{package}"] if package else []
        self._cache.hold([f"{PREPARED}{run}", *code, *names])

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

    def _localize_reference(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """A reference with the path at which its content lies here."""
        if value.get("is_folder"):
            return self._localize_folder(value["sha256"])
        return {"path": str(self._fetch_reference(value["sha256"])), "sha256": value["sha256"]}

    def _localize_folder(self, sha256: str) -> dict[str, Any]:
        """A folder's option: its files are fetched when hosts ask for them; those that lie here are sound."""
        name = f"{REFERENCES}{_check_digest(sha256)}/{_LISTING}"
        path = self._fetch(name, self._store(REFERENCES), sha256, sha256)
        listing = self._folders[sha256] = read_listing(name, path.read_bytes())
        for member, said in listing.members.items():
            with self._lock:
                self._cache.find(f"{REFERENCES}{sha256}/{_FILES}/{member}", said.sha256)
        if self._server is None:
            self._server = FileServer(self._fetch_member)
        folder = self._cache.folder / REFERENCES / sha256 / _FILES
        folder.mkdir(parents=True, exist_ok=True)
        return {"path": str(folder), "sha256": sha256, "port": self._server.port}

    def _fetch_member(self, sha256: str, member: str) -> None:
        """Have one file of a folder in the cache; raises OpenFailed where it cannot be, StoreError."""
        found = self._folders[sha256].members.get(member)
        if found is None:
            raise OpenFailed(member, "is no file of this folder")
        name = f"{REFERENCES}{sha256}/{_FILES}/{member}"
        try:
            self._fetch(name, self._store(REFERENCES), found.sha256, found.sha256)
        except NoRoom as err:
            raise OpenFailed(member, str(err)) from err

    def _fetch_reference(self, sha256: str) -> Path:
        name = f"{REFERENCES}{_check_digest(sha256)}"
        return self._fetch(name, self._store(REFERENCES), sha256, sha256)

    def _fetch(self, name: str, store: S3Store, key: str, sha256: str = "") -> Path:
        """A file of the cache, fetched unless it is there as it was."""
        with self._lock:
            found = self._cache.find(name, sha256)
            if found is None:
                make_room = partial(self._cache.make_room, name)
                store.get_file(key, self._cache.folder / name, sha256, make_room)
                found = self._cache.keep(name)
            return found

    def _fetch_package(self, sha256: str) -> Path:
        """The folder of a package of code, unpacked once."""
        name = f"{_PACKAGES}{_check_digest(sha256)}"
        with self._lock:
            folder = self._cache.find(name)
            return self._unpack(name, sha256) if folder is None else folder

    def _unpack(self, name: str, sha256: str) -> Path:
        self._cache.drop(name)
        folder = self._cache.folder / name
        aside = folder.with_name(f"{sha256}.{uuid.uuid4().hex}")
        try:
            unpack_package(self._fetch_reference(sha256), aside, partial(self._cache.make_room, name))
            aside.replace(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return self._cache.keep(name)

    def _fetch_prepared(self, run: str) -> Path:
        """The folder that the job's `prepare` wrote, fetched once."""
        folder = self._cache.folder / PREPARED / run
        folder.mkdir(parents=True, exist_ok=True)
        store = self._store(f"runs/{run}/")
        for key in store.list_keys(PREPARED):
            name = _check_relative(key.removeprefix(PREPARED), key)
            self._fetch(f"{PREPARED}{run}/{name}", store, key)
        return folder


def unpack_package(package: Path, into: Path, make_room: Callable[[int], None] | None = None) -> None:
    """Unpack a zip of code; raises StoreError where it is none, or larger than it may be.

    Sizes are those that its directory says, and no more than that is written of a file. Names that climb out
    are cut by `zipfile`, which makes no links either.
    """
    try:
        with zipfile.ZipFile(package) as archive:
            listed = archive.infolist()
            odd = [each.filename for each in listed if each.compress_type not in _METHODS]
            if odd:
                raise StoreError(
                    f"{REFERENCES}{package.name}", f"holds {odd[0]!r}, which is neither stored nor deflated"
                )
            n_bytes = sum(each.file_size for each in listed)
            if n_bytes > MOST_CODE_BYTES or len(listed) > MOST_CODE_FILES:
                raise StoreError(
                    f"{REFERENCES}{package.name}",
                    f"unpacks to {n_bytes:,} bytes in {len(listed):,} files; code that travels with a run "
                    f"has {MOST_CODE_BYTES:,} in {MOST_CODE_FILES:,} at most",
                )
            if make_room is not None:
                make_room(n_bytes)
            archive.extractall(into)
    # an encrypted file is a RuntimeError to `zipfile`, one of an unknown kind a NotImplementedError
    except (zipfile.BadZipFile, zlib.error, EOFError, LookupError, RuntimeError, ValueError, OSError) as err:
        said = f"cannot be unpacked: {type(err).__name__}: {err}"
        raise StoreError(f"{REFERENCES}{package.name}", said) from err


def _check_digest(sha256: Any) -> str:
    """A SHA-256 as it was, if it is one: it names a file; raises StoreError."""
    if not is_digest(sha256):
        raise StoreError(
            f"{REFERENCES}{str(sha256)[:80]}", "is no digest, and references are named by theirs"
        )
    return str(sha256)


def _check_relative(name: str, key: str) -> str:
    """A file's name as it was, if it stays in the folder that it is put into; raises StoreError."""
    if not is_inside(name):
        raise StoreError(key, "leads out of the folder of prepared files")
    return name
