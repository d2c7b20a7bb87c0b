//! `{:?}` of an array: its shape, its device and its numbers, in rows and columns.
use crate::Tensor;
use std::fmt;

/// Of more numbers than this only the ends of each axis are shown.
const WHOLE: usize = 1000;
/// So many at either end of an axis.
const ENDS: usize = 3;

/// Shape, device and numbers; of more than 1,000 the first and last three along each axis. Four decimals, or as many as
/// `{:.2?}` says. Waits for the device.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (numbers, shape, whole) = (self.to_vec(), self.shape(), self.len() <= WHOLE);
        let mut shown = Vec::new();
        nested(shape, whole, 0, 1, &mut |i| {
            shown.push(numbers[i]);
            String::new()
        });
        let style = Style::of(&shown, f.precision());
        let width = shown.iter().map(|&x| style.text(x).len()).max().unwrap_or(0);
        let text = nested(shape, whole, 0, 1, &mut |i| format!("{:>width$}", style.text(numbers[i])));
        let space = if shape.len() == 1 { ' ' } else { '\n' };
        write!(f, "Tensor{shape:?} on {:?}:{space}{text}", self.device())
    }
}

/// The axes of `shape` from element `at` on as brackets in brackets, `depth` of them open; `number` writes one element.
fn nested(shape: &[usize], whole: bool, at: usize, depth: usize, number: &mut dyn FnMut(usize) -> String) -> String {
    let Some((&size, inner)) = shape.split_first() else { return number(at) };
    let stride: usize = inner.iter().product();
    let cut = !whole && size > 2 * ENDS;
    let mut parts = Vec::new();
    for i in (0..size).filter(|i| !cut || *i < ENDS || *i >= size - ENDS) {
        if cut && i == size - ENDS {
            parts.push("...".to_string());
        }
        parts.push(nested(inner, whole, at + i * stride, depth + 1, number));
    }
    let between = match inner.len() {
        0 => ", ".to_string(),
        axes => format!(",{}{}", "\n".repeat(axes), " ".repeat(depth)),
    };
    format!("[{}]", parts.join(&between))
}

/// How all numbers of an array are written.
enum Style {
    /// Whole numbers: 3.0
    Whole,
    Decimals(usize),
    /// So small or so large that decimals would hide them: 1.2500e-7
    Powers(usize),
}

impl Style {
    fn of(shown: &[f32], decimals: Option<usize>) -> Style {
        let sizes = || shown.iter().filter(|x| x.is_finite() && **x != 0.0).map(|x| x.abs());
        let (least, most) = (sizes().fold(f32::MAX, f32::min), sizes().fold(0.0, f32::max));
        let digits = decimals.unwrap_or(4);
        match decimals {
            None if most < 1e7 && sizes().all(|x| x.fract() == 0.0) => Style::Whole,
            _ if least < 1e-4 || most >= 1e5 => Style::Powers(digits),
            _ => Style::Decimals(digits),
        }
    }

    fn text(&self, x: f32) -> String {
        match *self {
            Style::Whole => format!("{x:.1}"),
            Style::Decimals(digits) => format!("{x:.digits$}"),
            Style::Powers(digits) => format!("{x:.digits$e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(shape: &[usize], numbers: &[f32]) -> String {
        format!("{:?}", Tensor::new(shape, numbers.to_vec()))
    }

    #[test]
    fn numbers_stand_in_columns() {
        assert_eq!(shown(&[3], &[1.0, -20.0, 3.0]), "Tensor[3] on cpu: [  1.0, -20.0,   3.0]");
        assert_eq!(shown(&[1], &[0.123456]), "Tensor[1] on cpu: [0.1235]");
        let two = "Tensor[2, 2] on cpu:\n[[  0.5000,  -1.0000],\n [100.2500,      NaN]]";
        assert_eq!(shown(&[2, 2], &[0.5, -1.0, 100.25, f32::NAN]), two);
        let three = "Tensor[2, 1, 2] on cpu:\n[[[1.0, 2.0]],\n\n [[3.0, inf]]]";
        assert_eq!(shown(&[2, 1, 2], &[1.0, 2.0, 3.0, f32::INFINITY]), three);
        assert_eq!(shown(&[0, 4], &[]), "Tensor[0, 4] on cpu:\n[]");
    }

    #[test]
    fn what_decimals_would_hide_is_shown_by_powers() {
        assert_eq!(shown(&[2], &[1.25e-7, 0.5]), "Tensor[2] on cpu: [1.2500e-7, 5.0000e-1]");
        assert_eq!(shown(&[2], &[3e38, 0.0]), "Tensor[2] on cpu: [3.0000e38,  0.0000e0]");
        assert_eq!(format!("{:.1?}", Tensor::scalar(0.25)), "Tensor[1] on cpu: [0.2]");
    }

    #[test]
    fn large_arrays_show_their_ends() {
        let numbers: Vec<f32> = (0..1400).map(|i| i as f32).collect();
        let text = "[   0.0,    1.0,    2.0, ..., 1397.0, 1398.0, 1399.0]";
        assert_eq!(shown(&[1400], &numbers), format!("Tensor[1400] on cpu: {text}"));
        let text = shown(&[2, 700], &numbers);
        let rows = "[[   0.0,    1.0,    2.0, ...,  697.0,  698.0,  699.0],\n [ 700.0,";
        assert!(text.starts_with(&format!("Tensor[2, 700] on cpu:\n{rows}")), "{text}");
        let text = shown(&[200, 7], &numbers);
        assert!(text.contains(" 20.0],\n ...,\n [1379.0, "), "{text}");
    }
}
