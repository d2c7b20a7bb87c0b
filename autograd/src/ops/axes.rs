//! The same numbers under other axes, in another order, or some of them.
use crate::tape::{Var, record};
use kernels::{Ids, Tensor, index_select, set_columns, shapes, slice_columns};
use std::ops::Range;

/// Reshape: the same numbers under other axes. Free.
///
/// # Panics
/// If the number of elements is another.
#[track_caller]
pub fn reshape(x: &Var, shape: &[usize]) -> Var {
    let old = x.shape().to_vec();
    record("reshape", [x], x.value().reshape(shape), move |dy, _| [Some(dy.reshape(&old))])
}

/// The transpose of a matrix.  x [N, C] → [C, N]
///
/// # Panics
/// If it is no matrix.
#[track_caller]
pub fn transpose(x: &Var) -> Var {
    shapes!("transpose takes x [N, C]", x [_, _]);
    record("transpose", [x], transposed(x.value()), |dy, _| [Some(transposed(&dy))])
}

/// The elements one by one, in the order of the other axis.
fn transposed(x: &Tensor) -> Tensor {
    let [n, c] = x.dims();
    let ids = (0..c).flat_map(|j| (0..n).map(move |i| (i * c + j) as u32)).collect();
    index_select(&x.reshape(&[n * c, 1]), &Ids::new(ids)).reshape(&[c, n])
}

/// A slice: those of `range` along one axis.  x [.., C, ..] → [.., range, ..]
///
/// # Panics
/// If there is no such axis, or the range leaves it.
#[track_caller]
pub fn slice(x: &Var, axis: usize, range: Range<usize>) -> Var {
    let size = x.shape().get(axis).copied().unwrap_or(0);
    let fits = axis < x.shape().len() && range.start <= range.end && range.end <= size;
    shapes!(format!("slice {range:?} along axis {axis} takes an x that has it"), x [..] if fits);
    let shape = x.shape().to_vec();
    let ([outer, inner], cut) = (around(&shape, axis), resized(&shape, axis, range.len()));
    let columns = range.start * inner..range.end * inner;
    let y = slice_columns(&x.value().reshape(&[outer, size * inner]), columns.clone());
    record("slice", [x], y.reshape(&cut), move |dy, _| {
        let mut dx = Tensor::zeros(&dy.device(), &[outer, size * inner]);
        set_columns(&mut dx, columns.start, &dy.reshape(&[outer, columns.len()]));
        [Some(dx.reshape(&shape))]
    })
}

/// Concatenation along one axis; the others are the same.  [.., C₁, ..], [.., C₂, ..], … → [.., C₁ + C₂ + …, ..]
///
/// # Panics
/// If there is no such axis, or another one differs.
#[track_caller]
pub fn concat<const N: usize>(parts: [&Var; N], axis: usize) -> Var {
    let first = parts[0];
    for part in parts {
        let others = |x: &Var| (axis < x.shape().len()).then(|| resized(x.shape(), axis, 0));
        let fits = others(part).is_some() && others(part) == others(first);
        let takes = || format!("concat along axis {axis} takes parts that are equal in all others");
        shapes!(takes(), first [..], part [..] if fits);
    }
    let sizes = parts.map(|part| part.shape()[axis]);
    let [outer, inner] = around(first.shape(), axis);
    let width = sizes.iter().sum::<usize>();
    let mut y = Tensor::zeros(&first.value().device(), &[outer, width * inner]);
    let mut start = 0;
    for part in parts {
        let columns = part.shape()[axis] * inner;
        set_columns(&mut y, start, &part.value().reshape(&[outer, columns]));
        start += columns;
    }
    let shape = resized(first.shape(), axis, width);
    record("concat", parts, y.reshape(&shape), move |dy, _| {
        let dy = dy.reshape(&[outer, width * inner]);
        let mut start = 0;
        sizes.map(|size| {
            let columns = start..start + size * inner;
            start = columns.end;
            Some(slice_columns(&dy, columns).reshape(&resized(&shape, axis, size)))
        })
    })
}

/// Elements of the axes before `axis`, and of those after it.
fn around(shape: &[usize], axis: usize) -> [usize; 2] {
    [shape[..axis].iter().product(), shape[axis + 1..].iter().product()]
}

/// The shape with another size of one axis.
fn resized(shape: &[usize], axis: usize, size: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = size;
    shape
}
