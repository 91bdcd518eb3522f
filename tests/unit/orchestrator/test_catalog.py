"""From what the user wrote to the job."""

from __future__ import annotations

import functools
import sys
from types import ModuleType

import pytest

from aliquot.errors import UnknownJob
from orchestrator.catalog import find_job, list_jobs


def at_top_level(record):
    return record


def test_installed_jobs_are_found_by_name_without_their_heavy_parts():
    assert list_jobs()["crossref"] == "aliquot_chem.crossref:job"
    known = find_job("crossref")
    assert (known.job.name, known.address, known.search_path) == ("crossref", "aliquot_chem.crossref:job", ())


def test_function_object_becomes_an_address_that_hosts_can_import(tmp_path, monkeypatch):
    """Of a module in a package: the folder that holds the package goes with it."""
    package = tmp_path / "some_package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("def top(record): ...\n")
    (package / "inner.py").write_text("class K:\n    @staticmethod\n    def f(record): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from some_package_of_mine import inner

    known = find_job(inner.K.f)
    assert (known.address, known.search_path) == ("some_package_of_mine.inner:K.f", (str(tmp_path),))
    known = find_job(sys.modules["some_package_of_mine"].top)
    assert (known.address, known.search_path) == ("some_package_of_mine:top", (str(tmp_path),))


def test_function_of_a_script_is_addressed_by_its_file_and_not_run_again(tmp_path, monkeypatch):
    """A script without a guard would otherwise start itself over and over."""
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('it was run again')\n")
    module = ModuleType("__main__")
    module.__file__ = str(script)
    exec("def f(record): ...", vars(module))  # noqa: S102 - as a script would
    monkeypatch.setitem(sys.modules, "__main__", module)
    known = find_job(module.f)
    assert (known.address, known.search_path) == (f"{script}:f", (str(tmp_path),))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda _: None,
        functools.partial(at_top_level),
        len,
        3,
        None,
        "nothing",
        "no_module_of_this:f",
        ":f",
        "m:",
    ],
)
def test_what_hosts_cannot_import_is_refused(wrong):
    with pytest.raises(UnknownJob):
        find_job(wrong)


def test_function_that_its_name_does_not_lead_to_is_refused(monkeypatch):
    """Hosts would import whatever has taken its name."""
    function = at_top_level
    monkeypatch.setattr(sys.modules[__name__], "at_top_level", len)
    with pytest.raises(UnknownJob, match="is another object"):
        find_job(function)


def test_near_misses_are_suggested():
    with pytest.raises(UnknownJob, match="did you mean 'crossref'"):
        find_job("crosref")
