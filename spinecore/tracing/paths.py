"""The unbranched paths of a thinned mask.

The same graph and the same order as in skan (Nunez-Iglesias et al. 2018, BSD-3), without its compiler, which takes longer
to start than most stacks take to trace: voxels are joined to their neighbours, the clusters of junction voxels are
reduced to their minimum spanning trees, and paths run from each end or junction to the next.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from skimage.graph import pixel_graph


def skeleton_paths(skeleton: np.ndarray, step_um: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Return the unbranched paths of a skeleton.

    Parameters
    ----------
    skeleton : ndarray of bool
        Thinned mask of 2 or 3 axes.
    step_um : ndarray, shape (skeleton.ndim,)
        Voxel size.

    Returns
    -------
    voxels : ndarray of int, shape (n, skeleton.ndim)
        The skeleton's voxels.
    paths : list of list of int
        Rows of `voxels` along each path, both ends included; a closed ring begins and ends at one voxel. Voxels
        without a neighbour are on no path.

    Examples
    --------
    >>> line = np.zeros((3, 6), bool)
    >>> line[1, 1:5] = True
    >>> skeleton_paths(line, np.ones(2))[1]
    [[0, 1, 2, 3]]
    """
    voxels = np.argwhere(skeleton)
    if len(voxels) < 2:
        return voxels, []
    near, _ = pixel_graph(skeleton, connectivity=skeleton.ndim, spacing=step_um, sparse_type="array")
    if (np.diff(near.indptr) > 2).any():
        near = _with_simple_junctions(near)
    neighbours = [row.tolist() for row in np.split(near.indices, near.indptr[1:-1])]
    return voxels, _walked(neighbours)


def _with_simple_junctions(near: sparse.csr_array) -> sparse.csr_array:
    """Reduce clusters of voxels with more than two neighbours to their minimum spanning trees."""
    junction = (np.diff(near.indptr) > 2).astype(float)
    between = near.multiply(junction[:, None]).multiply(junction[None, :]).tocsr()
    between.eliminate_zeros()
    tree = csgraph.minimum_spanning_tree(between)
    kept = sparse.csr_array(near - (between - (tree + tree.T)))
    kept.eliminate_zeros()
    kept.sort_indices()
    return kept


def _walked(neighbours: list[list[int]]) -> list[list[int]]:
    """Walk every path once: first from the ends and junctions, then round the rings that are left."""
    walked: set[tuple[int, int]] = set()
    paths = []

    def walk(start: int, onward: int) -> None:
        path, here = [start], start
        while (here, onward) not in walked:
            walked.update(((here, onward), (onward, here)))
            path.append(onward)
            if len(neighbours[onward]) != 2 or onward == start:
                break
            one, other = neighbours[onward]
            here, onward = onward, other if one == here else one
        paths.append(path)

    for ring in (False, True):
        for start, beside in enumerate(neighbours):
            if beside and ring == (len(beside) == 2):
                for onward in beside[:1] if ring else beside:
                    if (start, onward) not in walked:
                        walk(start, onward)
    return paths
