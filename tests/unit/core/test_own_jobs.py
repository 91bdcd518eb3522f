"""The parameter `Jobs`: what it says is what was spelt, and the template takes just that."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.own_jobs import OwnJobs, parse_own_jobs, spell_own_job
from aliquot.surroundings import Surroundings
from orchestrator.stack.parameters import check_parameters, read_template

PARAMETERS = read_template(Path(__file__).parents[3])["Parameters"]
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True)
jobs = st.dictionaries(names, st.tuples(names, names, st.integers(0, 99)), max_size=3)


@given(jobs=jobs, packages=st.dictionaries(names, versions, max_size=3))
def test_what_is_spelt_is_read(jobs: dict[str, tuple[str, str, int]], packages: dict[str, str]) -> None:
    words = [spell_own_job(name, f"{m}.job:{o}", n, packages) for name, (m, o, n) in jobs.items()]
    text = ",".join(words)
    assert check_parameters(PARAMETERS, [f"Jobs={text}"]) == {"Jobs": text}
    assert parse_own_jobs(text) == OwnJobs(
        {name: f"{m}.job:{o}" for name, (m, o, _) in jobs.items()},
        {name: n for name, (_, _, n) in jobs.items()},
        packages if jobs else {},
    )


@pytest.mark.parametrize(
    "text", ["demo", "demo=demo.job", "demo=demo.job:job", "demo=demo.job:job@one", "numpy=1", "a b==1", '"']
)
def test_the_template_refuses_what_could_not_be_read(text: str) -> None:
    assert not re.fullmatch(PARAMETERS["Jobs"]["AllowedPattern"], text)


def test_a_stacks_own_jobs_cannot_be_taken_over() -> None:
    """Another address under a name of ours would run somebody else's code for whoever types it."""
    around = Surroundings.read(
        {
            "ALIQUOT_BUCKET": "b",
            "ALIQUOT_QUEUES": "{}",
            "ALIQUOT_JOBS": '{"crossref": "ours:job"}',
            "ALIQUOT_OWN_JOBS": "crossref=theirs:job@9,demo=demo.job:job@1,numpy==2.4.6",
        }
    )
    assert around.jobs == {"crossref": "ours:job", "demo": "demo.job:job"}
