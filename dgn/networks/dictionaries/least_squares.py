"""Non-negative least squares for many inputs at once: h = argmin |x - h D|^2 with h >= 0, from D D^T and x D^T.

Accelerated projected gradient (FISTA: Beck & Teboulle 2009), two matrix products a step for all inputs, finds which
coefficients are positive. Block principal pivoting (Kim & Park 2011) corrects this for the inputs where it is not yet
right. The coefficients are then the least-squares solution on the positive ones, so they do not depend on the number of
steps.
"""

import torch
from torch import Tensor

STEPS = 100
"""Steps of FISTA. More of them leave fewer inputs to pivoting; the result is the same."""
LARGEST = 2**22
"""Numbers in the linear systems that are solved at once: 32 MiB in float64."""


def non_negative(gram: Tensor, products: Tensor) -> Tensor:
    """Returns the coefficients (P, n) of P inputs. The gradient is that of the least squares on the positive ones.

    In float32, with nearly dependent atoms, rounding decides which coefficients are positive.

    Args:
        gram: (n, n), the inner products of the atoms; positive definite.
        products: (P, n), the inner products of the inputs with the atoms.
    """
    with torch.no_grad():
        support = _pivoted(gram, products, _estimated(gram.float(), products.float()) > 0)
    return _on_support(gram, products, support)


def _estimated(gram: Tensor, products: Tensor) -> Tensor:
    """Returns approximate coefficients by FISTA, whose momentum restarts where it points uphill."""
    step = 1 / gram.abs().sum(1).amax()  # at most 1 / the largest eigenvalue
    found = ahead = torch.zeros_like(products)
    age = products.new_ones(len(products), 1)
    for _ in range(STEPS):
        moved = (ahead - step * (ahead @ gram - products)).relu()
        change = moved - found
        uphill = ((ahead - moved) * change).sum(1, keepdim=True) > 0
        age = torch.where(uphill, 1.0, age)  # O'Donoghue & Candes 2015
        older = (1 + (1 + 4 * age**2).sqrt()) / 2
        ahead = moved + (age - 1) / older * change
        found, age = moved, older
    return found


def _pivoted(gram: Tensor, products: Tensor, support: Tensor) -> Tensor:
    """Returns where the coefficients are positive, (P, n), by block principal pivoting from an estimate of it."""
    count = products.shape[1]
    tolerance = torch.finfo(gram.dtype).eps ** 0.5 * products.abs().amax(1, keepdim=True)
    fewest = torch.full((len(products),), count + 1, device=products.device)
    patience = torch.full_like(fewest, 3)
    order = torch.arange(count, device=products.device)
    rows = torch.arange(len(products), device=products.device)  # the inputs whose support is not known to be right
    for _ in range(5 * count + 20):
        kept = support[rows]
        coefficients = _on_support(gram, products[rows], kept)
        slopes = coefficients @ gram - products[rows]
        wrong = torch.where(kept, coefficients < -tolerance[rows], slopes < -tolerance[rows])
        open_rows = wrong.any(1)
        rows, kept, wrong = rows[open_rows], kept[open_rows], wrong[open_rows]
        if not len(rows):
            break
        number = wrong.sum(1)
        patience[rows] = torch.where(number < fewest[rows], 3, patience[rows] - 1)
        fewest[rows] = torch.minimum(fewest[rows], number)
        last = torch.where(wrong, order, -1).amax(1, keepdim=True) == order  # the backup rule exchanges one
        support[rows] = kept ^ torch.where((patience[rows] >= 0)[:, None], wrong, wrong & last)
    return support


def _on_support(gram: Tensor, products: Tensor, support: Tensor) -> Tensor:
    """Returns the least-squares coefficients (P, n) that are 0 outside of the support, (P, n)."""
    rows = max(1, LARGEST // gram.numel())
    parts = zip(products.split(rows), support.split(rows), strict=True)
    return torch.cat([_solved(gram, *part) for part in parts])


def _solved(gram: Tensor, products: Tensor, support: Tensor) -> Tensor:
    """Solves systems of as many equations as the largest support has; of smaller ones, the rest says 0 = 0."""
    most = int(support.sum(1).amax()) if support.numel() else 0
    kept, places = support.to(gram.dtype).topk(most, dim=1)
    systems = gram[places[:, :, None], places[:, None, :]] * kept[:, :, None] * kept[:, None, :]
    systems = systems + torch.diag_embed(1 - kept)
    solution = torch.linalg.solve(systems, (products.gather(1, places) * kept).unsqueeze(-1)).squeeze(-1)
    return torch.zeros_like(products).scatter(1, places, solution)
