"""A template policy: a neural network that says of a molecule how likely each template is.

The layout is AiZynthFinder's: an ONNX model whose one input is the Morgan fingerprint (radius 2, as many bits
as the input is wide, 0 or 1 as float32, shape (1, n_bits)) and whose first output has a probability for every
row of the template table, in its order. A template's score is the natural logarithm of its probability,
rounded to millionths; rows that are merged have theirs together, and none has less than e^-20.

Owns this layout. Imports RDKit and NumPy, and onnxruntime (the extra `policy`) on demand. When it is wrong,
probabilities are given to other templates.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from aliquot.errors import BadReference
from aliquot_chem.molecules import Molecule
from aliquot_chem.rowsets import Rows
from aliquot_chem.table import TEMPLATES, derive_template_id, read_rows

_RADIUS = 2
_LEAST_SCORE = -20.0
_ROW_OF_OUTPUT = "row_of_output.npy"


def prepare_policy(model: Path, table: Path, ids: list[str], into: Path) -> None:
    """Write which prepared template each output of the model is about, -1 for none.

    Raises:
        BadReference: the model cannot be used, or is not about the rows of the table.
    """
    rows = read_rows(table, TEMPLATES)
    n_outputs = _Network(model).n_outputs
    if n_outputs != len(rows):
        reason = (
            f"it scores {n_outputs:,} templates, and {table} has {len(rows):,} rows: give those it learnt"
        )
        raise BadReference(str(model), reason)
    places = {template_id: place for place, template_id in enumerate(ids)}
    own = [places.get(row.id or derive_template_id(row.text), -1) for row in rows]
    np.save(into / _ROW_OF_OUTPUT, np.array(own, np.int32))


class PolicyRanking:
    """An order for each molecule: by the score that the policy gives, then by id."""

    def __init__(self, model: Path, ids: list[str], prepared: Path) -> None:
        """Load the model and what `prepare_policy` has written."""
        self._network = _Network(model)
        self._row_of_output = np.load(prepared / _ROW_OF_OUTPUT)
        self._place_of_id = np.argsort(np.argsort(np.array(ids)))
        self._score_once = lru_cache(1)(self._score)

    def order(self, molecule: Molecule) -> Rows:
        """See `expansion.Ranking`."""
        return np.lexsort((self._place_of_id, -self._score_once(molecule.mol)))

    def score(self, molecule: Molecule) -> NDArray[np.float64]:
        """See `expansion.Ranking`."""
        return self._score_once(molecule.mol)

    def _score(self, mol: Chem.Mol) -> NDArray[np.float64]:
        is_used = self._row_of_output >= 0
        likely = np.bincount(
            self._row_of_output[is_used],
            self._network.predict(mol)[is_used],
            minlength=len(self._place_of_id),
        )
        scores: NDArray[np.float64] = np.log(np.maximum(likely, np.exp(_LEAST_SCORE))).round(6)
        return scores


class _Network:
    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as err:
            reason = "a policy needs onnxruntime, which is not installed: pip install 'aliquot[policy]'"
            raise BadReference(str(path), reason) from err
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a host has one core
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:  # its errors have no common class of their own
            raise BadReference(str(path), f"onnxruntime cannot load it: {str(err)[:200]}") from err
        (given,), answered = self._session.get_inputs(), self._session.get_outputs()[0]
        self._input, self._output = given.name, answered.name
        self._fingerprints = rdFingerprintGenerator.GetMorganGenerator(radius=_RADIUS, fpSize=given.shape[1])
        self.n_outputs = int(answered.shape[1])

    def predict(self, mol: Chem.Mol) -> NDArray[np.float64]:
        """The probability of each output, shape (n_outputs,)."""
        bits = self._fingerprints.GetFingerprintAsNumPy(mol).astype(np.float32)
        (answer,) = self._session.run([self._output], {self._input: bits[None, :]})
        return np.asarray(answer[0], np.float64)
