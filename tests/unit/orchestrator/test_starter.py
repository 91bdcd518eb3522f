"""What `aliquot new` refuses, and what it makes."""

import ast
import json
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from aliquot.errors import FolderInUse
from orchestrator.rehearsal.template import load_template
from orchestrator.starter.project import BadName, check_name, read_files, write_project


def check(name: str, *, is_module: bool = False) -> None:
    check_name(name, ["crossref"], lambda _: is_module)


@pytest.mark.parametrize("name", ["demo", "a", "my_job2", "a" * 40])
def test_a_name_that_is_good_for_all_is_taken(name: str) -> None:
    check(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-job", "my_job would do"),
        ("My Job", "my_job would do"),
        ("2d", "a letter first; d would do"),
        ("a" * 41, "up to 40"),
        ("../up", "up would do"),
        ("", "a letter first$"),
        ("class", "class_job would do"),
        ("crossref", "aliquot jobs"),
    ],
)
def test_a_name_that_is_not_says_what_to_do(name: str, said: str) -> None:
    with pytest.raises(BadName, match=said):
        check(name)


def test_a_package_that_is_there_is_not_hidden() -> None:
    """`demo/json` would be imported wherever somebody else's json was meant."""
    with pytest.raises(BadName, match="import json"):
        check("json", is_module=True)


def test_every_place_is_filled_in() -> None:
    files = read_files("my_job")
    assert not [
        path for path, text in files.items() if "@name@" in text or "@version@" in text or "@" in str(path)
    ]
    for path, text in files.items():
        if path.suffix == ".py":
            ast.parse(text)
    project = tomllib.loads(files[PurePosixPath("pyproject.toml")])
    assert project["project"]["entry-points"]["aliquot.jobs"] == {"my_job": "my_job.job:job"}
    assert PurePosixPath("my_job/job.py") in files
    assert PurePosixPath(".gitignore") in files


def test_the_template_holds_a_layer_and_says_its_arn(tmp_path: Path) -> None:
    write_project(tmp_path / "demo", read_files("demo"))
    template = load_template(tmp_path / "demo" / "template.yaml")
    assert [each["Type"] for each in template["Resources"].values()] == ["AWS::Serverless::LayerVersion"]
    assert json.dumps(template["Outputs"]["JobLayer"]["Value"]) == '{"Ref": "JobLayer"}'
    assert "make layer" in (tmp_path / "demo" / "README.md").read_text()


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    with pytest.raises(FolderInUse, match="is there already"):
        write_project(tmp_path / "demo", read_files("demo"))
    assert not list((tmp_path / "demo").iterdir())
    with pytest.raises(FolderInUse, match="cannot be written"):
        write_project(tmp_path / "none" / "demo", read_files("demo"))
