"""Words of `--parameter` against the template's own rules."""

from pathlib import Path

import pytest

from aliquot.errors import BadOption
from orchestrator.stack.parameters import check_parameters, describe_allowed, read_template

ROOT = Path(__file__).parents[3]
DECLARED = read_template(ROOT)["Parameters"]


def test_values_are_taken_as_they_stand():
    words = ["Rungs=small+medium", "Concurrency=2", "SubnetIds=a,b", "KmsKeyArn=", "CostCenter=lab=7"]
    assert check_parameters(DECLARED, words) == {
        "Rungs": "small+medium",
        "Concurrency": "2",
        "SubnetIds": "a,b",
        "KmsKeyArn": "",
        "CostCenter": "lab=7",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Rungs"], "'Rungs' is not of the form Name=Value"),
        (["Rungs=huge"], "Rungs is 'huge' and may be one of small, small.medium, all"),
        (["rungs=all"], "no parameter 'rungs'; did you mean Rungs"),
        (["Rungs=all", "Rungs=small"], "given twice"),
        (["Concurrency=1"], "may be 2 to 1000"),
        (["Concurrency=many"], "must be a number"),
        (["KeepLogsDays=31"], "may be one of 1, 3, 5"),
        (["RolePath=science"], "must match"),
    ],
)
def test_wrong_word_is_refused_with_what_is_allowed(words, said):
    """CloudFormation would say so too, after minutes of building."""
    with pytest.raises(BadOption, match=said):
        check_parameters(DECLARED, words)


def test_every_default_is_allowed():
    for name, about in DECLARED.items():
        default = str(about["Default"])
        assert check_parameters({name: about}, [f"{name}={default}"]) == {name: default}


def test_docs_list_every_parameter_with_its_default_and_values():
    """The table of docs/stack.md is what people choose from."""
    page = (ROOT / "docs/stack.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, about in DECLARED.items():
        default = f"`{about['Default']}`" if about["Default"] != "" else "empty"
        (row,) = [line for line in rows if line.startswith(f"| `{name}` |")]
        assert f"| {default} |" in row
        assert f"| {describe_allowed(about)} |" in row
