"""`aliquot deploy` up to SAM's own door: a `sam` on PATH notes what it is called with."""

import os
import sys
from pathlib import Path

from aliquot.errors import BadOption
from orchestrator.stack.errors import DeployFailed, MissingTool, NoSuchStack

ROOT = Path(__file__).parents[3]
SHOP = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'


def test_new_stack_is_built_and_deployed(account, sam):
    said = account.aliquot("deploy", "--stack", "prod", "--parameter", "Rungs=all")
    assert isinstance(said.exception, NoSuchStack)  # the `sam` here deploys nothing
    build, deploy = sam.words("build"), sam.words("deploy")
    assert build[:3] == ["build", "--template-file", str(ROOT / "template.yaml")]
    assert deploy[deploy.index("--stack-name") + 1] == "prod"
    assert "Rungs=all" in build
    assert "Rungs=all" in deploy
    assert {"--resolve-s3", "--no-confirm-changeset", "CAPABILITY_IAM"} <= set(deploy)


def test_stack_that_stands_is_brought_to_this_release_with_its_parameters(account, sam):
    """Its layers would be built for arm64 and its functions stay x86_64."""
    account.make_stack(Architecture="x86_64")
    said = account.aliquot("deploy", "--stack", "prod", "--parameter", "Rungs=all")
    assert said.exit_code == 0, said.output
    for command in ("build", "deploy"):
        assert "Architecture=x86_64 Rungs=all" in sam.words(command)
    assert "Stack prod in us-east-1 is ready, with jobs crossref" in said.output
    assert "a month" in said.output


def test_dry_run_prints_and_runs_nothing(account, sam):
    account.make_stack(Architecture="x86_64")
    said = account.aliquot("deploy", "--stack", "prod", "--dry-run")
    assert said.exit_code == 0, said.output
    assert "sam build --template-file" in said.output
    assert "Architecture=x86_64" in said.output
    assert '"lambda:CreateFunction"' in said.output
    assert "Idle, it polls its queues" in said.output
    assert sam.words("build") == []


def test_dry_run_needs_no_credentials(account, monkeypatch, tmp_path):
    """Whoever asks for rights has none yet."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    said = account.aliquot("deploy", "--dry-run")
    assert said.exit_code == 0, said.output
    assert "whether the stack stands already" in said.output
    assert '"iam:PassRole"' in said.output


def test_stack_of_somebody_else_is_left_alone(account, sam):
    """SAM would replace all its resources with ours."""
    account.make_stack("shop", SHOP)
    said = account.aliquot("deploy", "--stack", "shop")
    assert isinstance(said.exception, NoSuchStack)
    assert "not Aliquot's" in str(said.exception)
    assert sam.words("build") == []


def test_wrong_parameter_is_told_before_anything_is_built(account, sam):
    said = account.aliquot("deploy", "--parameter", "Rungs=huge")
    assert isinstance(said.exception, BadOption)
    assert sam.words("build") == []


def test_step_that_fails_ends_it(account, sam, monkeypatch):
    monkeypatch.setenv("SAM_STATUS", "3")
    said = account.aliquot("deploy")
    assert isinstance(said.exception, DeployFailed)
    assert "sam build: ended with status 3" in str(said.exception)
    assert sam.words("deploy") == []


def test_missing_sam_is_told_with_how_to_get_it(account, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = account.aliquot("deploy")
    assert isinstance(said.exception, MissingTool)
    assert "pipx install aws-sam-cli" in str(said.exception)
    assert account.aliquot("deploy", "--dry-run").exit_code == 0


def test_python_of_the_functions_builds_the_layers(account, sam, program):
    program("python3.13", "#!/bin/sh\necho 3.13\n")
    account.make_stack()
    said = account.aliquot("deploy", "--stack", "prod")
    assert sam.words("python")[0].endswith("/bin/python3.13")
    assert "python3.13 does not work" not in said.output


def test_python_that_leads_nowhere_is_passed_over(account, sam, program, monkeypatch):
    """pyenv puts a shim on PATH for every version that it has, also for those that are switched off."""
    if sys.version_info[:2] == (3, 13):
        monkeypatch.setattr(sys, "executable", "/bin/false")
    program("python3.13", "#!/bin/sh\nexit 127\n")
    program("python3", "#!/bin/sh\necho 3.12\n")
    account.make_stack()
    said = account.aliquot("deploy", "--stack", "prod")
    assert Path(sam.words("python")[0]) in {
        Path(sys.executable),
        Path(os.environ["PATH"].split(":")[0], "python3"),
    }
    assert "python3.13 does not work here" in said.output
    assert said.exit_code == 0
