//! Fast on the CPU: rows of both, in parallel.
use crate::cpu::par;

pub fn copy(x: &[f32], xw: usize, x_start: usize, y: &mut [f32], yw: usize, y_start: usize, count: usize) {
    if count == 0 {
        return;
    }
    par::rows(x.len() / xw.max(1), par::grain(count), [(y, yw)], |range, [y]| {
        for (x, y) in x[range.start * xw..range.end * xw].chunks_exact(xw).zip(y.chunks_exact_mut(yw)) {
            y[y_start..y_start + count].copy_from_slice(&x[x_start..x_start + count]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn out_and_in() {
        for (xw, x_start, yw, y_start, count) in [(1, 0, 1, 0, 1), (9, 2, 4, 0, 4), (5, 0, 11, 6, 5), (8, 1, 9, 3, 6)] {
            let (x, old) = (noise(300 * xw, 1), noise(300 * yw, 2));
            let (mut y, mut want) = (old.clone(), wide(&old));
            copy(&x, xw, x_start, &mut y, yw, y_start, count);
            plain::copy(&wide(&x), xw, x_start, &mut want, yw, y_start, count);
            close("columns", &y, &want, 0.0);
        }
    }
}
