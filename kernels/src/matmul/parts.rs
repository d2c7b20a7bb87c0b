//! How a product that one binding of a GPU cannot cover is cut.
use super::{Form, Size};
use crate::gpu::chunks;
use std::ops::Range;

/// The part of a product with these rows and columns of c, summed over these k.
pub struct Part {
    pub m: Range<usize>,
    pub n: Range<usize>,
    pub k: Range<usize>,
}

/// Parts whose operands one binding of `most` words can cover: mostly one. Cut where a binding may start, at multiples
/// of 64 rows.
pub fn parts(most: usize, form: Form, Size { m, n, k }: Size) -> Vec<Part> {
    let fit = |widths: &[usize]| ((most / widths.iter().max().expect("one").max(&1)) & !63).max(64);
    // rows of c; where a is read along k, of a; where b is, of b; else k are the rows of the operands
    let (m_step, n_step, k_step) = match form {
        Form::NT => (fit(&[n, k]), fit(&[k]), k),
        Form::NN => (fit(&[n, k]), n, fit(&[n])),
        Form::TN => (fit(&[n]), n, fit(&[m, n])),
    };
    let mut parts = Vec::new();
    for m in chunks(m, m_step) {
        for n in chunks(n, n_step) {
            // k = 0 still has a sum to write
            let ks = chunks(k.max(1), k_step.max(1)).map(|range| range.start..range.end.min(k));
            parts.extend(ks.map(|k| Part { m: m.clone(), n: n.clone(), k }));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of c is made from every k once, and no operand of a part is larger than a binding.
    #[test]
    fn parts_cover_a_product() {
        for form in [Form::NN, Form::NT, Form::TN] {
            for s in
                [Size { m: 70, n: 50257, k: 768 }, Size { m: 50257, n: 768, k: 300 }, Size { m: 300, n: 768, k: 50257 }]
            {
                for most in [1 << 25, 1 << 22, 64 * 50304] {
                    let parts = parts(most, form, s);
                    let work: usize = parts.iter().map(|p| p.m.len() * p.n.len() * p.k.len()).sum();
                    assert_eq!(work, s.m * s.n * s.k, "{form:?} {s:?} {most}");
                    for p in &parts {
                        assert!(p.m.start % 64 == 0 && p.n.start % 64 == 0 && p.k.start % 64 == 0);
                        let a = if form == Form::TN { p.k.len() * s.m } else { p.m.len() * s.k };
                        let b = if form == Form::NT { p.n.len() * s.k } else { p.k.len() * s.n };
                        assert!(
                            a.max(b).max(p.m.len() * s.n) <= most,
                            "{form:?} {s:?}: {} {} {}",
                            p.m.len(),
                            p.n.len(),
                            p.k.len()
                        );
                    }
                }
            }
        }
    }
}
