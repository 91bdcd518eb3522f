"""A template policy scores the templates of the table that it was made for, molecule by molecule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem

from aliquot.errors import BadOption, BadReference
from aliquot.job import Reference
from aliquot_chem import stock as stock_index
from aliquot_chem.molecules import Molecule
from aliquot_chem.policy import PolicyRanking
from aliquot_chem.retrosynthesis import Options, Target, job
from tests.unit.chem.chains import run_chain

pytest.importorskip("onnxruntime", reason="the extra `policy` is not installed")

N_BITS = 64
AMIDE = "[C:1](=[O:2])-[N;D2:3]>>[C:1](=[O:2])-O.[N:3]"
CHLORIDE = "[C:1](=[O:2])-[N;D2:3]>>[C:1](=[O:2])-Cl.[N:3]"
ETHER = "[C:1]-[O;D2:2]-[C:3]>>[C:1]-Br.[O:2]-[C:3]"
ROWS = [("a", AMIDE), ("bad", "no SMARTS"), ("c", CHLORIDE), ("a", AMIDE), ("e", ETHER)]
TABLE = "\ttemplate_id\tretro_template\n" + "".join(f"{i}\t{a}\t{b}\n" for i, (a, b) in enumerate(ROWS))
KEYS = ["CCNC(C)=O", "CCOCC", "CCNC(=O)COC"]


def number(field: int, value: int) -> bytes:
    """A whole number of a protocol buffer."""
    return varint(field << 3) + varint(value)


def held(field: int, *parts: bytes | str) -> bytes:
    """Text, bytes or a message of a protocol buffer."""
    content = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    low = [value >> shift & 127 for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(part | 128 for part in low[:-1]), low[-1]])


def write_model(path: Path, weights: NDArray[np.float32]) -> Path:
    """An ONNX model, softmax(fingerprint @ weights), as the format's protocol buffers say."""

    def tensor(name: str, width: int) -> bytes:
        shape = held(2, held(1, number(1, 1)), held(1, number(1, width)))
        return held(1, name) + held(2, held(1, number(1, 1), shape))

    n_bits, n_outputs = weights.shape
    graph = [
        held(1, held(1, "x"), held(1, "w"), held(2, "y"), held(4, "MatMul")),
        held(1, held(1, "y"), held(2, "p"), held(4, "Softmax")),
        held(2, "policy"),
        held(
            5, number(1, n_bits), number(1, n_outputs), number(2, 1), held(8, "w"), held(9, weights.tobytes())
        ),
        held(11, tensor("x", n_bits)),
        held(12, tensor("p", n_outputs)),
    ]
    path.write_bytes(number(1, 8) + held(7, *graph) + held(8, held(1, ""), number(2, 13)))
    return path


@pytest.fixture
def weights() -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 2, (N_BITS, 5)).astype(np.float32)


@pytest.fixture
def options(tmp_path: Path, weights: NDArray[np.float32]) -> Options:
    (tmp_path / "templates.tsv").write_text(TABLE)
    stock_index.build([(["CC(=O)O", "CC(=O)Cl", "CCN", "CCBr", "CCO"], [])], tmp_path / "stock")
    return Options(
        templates=Reference(tmp_path / "templates.tsv", ""),
        stock=Reference(tmp_path / "stock", ""),
        policy=Reference(write_model(tmp_path / "policy.onnx", weights), ""),
        skip_bad_templates=True,
    )


def predict(key: str, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """What AiZynthFinder asks the model, worked out by hand."""
    with rdBase.BlockLogs():
        bits = AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(key), 2, N_BITS)
    given = np.array(bits, np.float64) @ weights
    return np.exp(given - given.max()) / np.exp(given - given.max()).sum()


def test_scores_are_logs_of_the_rows_probabilities(tmp_path, options, weights):
    """Of rows that are merged together; a row that was skipped has none."""
    job.prepare(options, tmp_path)
    ids = json.loads((tmp_path / "templates.json").read_text())["ids"]
    ranking = PolicyRanking(options.policy.path, ids, tmp_path)
    assert ids == ["a", "c", "e"]
    orders = set()
    for key in KEYS:
        p = predict(key, weights)
        molecule = Molecule(Chem.MolFromSmiles(key), key)
        expected = np.log([p[0] + p[3], p[2], p[4]])
        assert ranking.score(molecule) == pytest.approx(expected, abs=1e-4)
        assert ranking.order(molecule).tolist() == np.argsort(-expected).tolist()
        orders.add(tuple(ranking.order(molecule).tolist()))
    assert len(orders) > 1


def test_routes_come_by_the_policys_scores(tmp_path, options, weights):
    (tmp_path / "prepared").mkdir()
    found = run_chain(job, options, tmp_path / "prepared", [Target("x", KEYS[0])])
    p = predict(KEYS[0], weights)
    scores = {"a": np.log(p[0] + p[3]), "c": np.log(p[2])}
    assert [row.template_ids for row in found[0]] == sorted(scores, key=lambda name: -scores[name])
    assert [row.score for row in found[0]] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-4)
    assert not job.list_stages(options)[0].fork_safe


def test_a_model_of_other_templates_is_refused(tmp_path, options, weights):
    write_model(tmp_path / "policy.onnx", weights[:, :4].copy())
    with pytest.raises(BadReference, match=r"it scores 4 templates, and .* has 5 rows"):
        job.prepare(options, tmp_path)
    (tmp_path / "policy.onnx").write_bytes(b"hello")
    with pytest.raises(BadReference, match="onnxruntime cannot load it"):
        job.prepare(options, tmp_path)


def test_counts_and_policy_exclude_each_other(options):
    both = Options(options.templates, options.stock, counts=options.stock, policy=options.policy)
    with pytest.raises(BadOption, match="--policy"):
        job.list_stages(both)
