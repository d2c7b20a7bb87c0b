//! Sizes of up to four axes, and what a call says of shapes that do not fit.
use std::fmt;
use std::ops::Deref;

/// The sizes of one to four axes, as a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    dims: [usize; 4],
    rank: u8,
}

impl Shape {
    /// These sizes.
    ///
    /// # Panics
    /// Of no axis, or of more than four.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Shape {
        assert!(!dims.is_empty() && dims.len() <= 4, "a shape has one to four axes, got {dims:?}");
        let mut all = [1; 4];
        all[..dims.len()].copy_from_slice(dims);
        Shape { dims: all, rank: dims.len() as u8 }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.iter().product()
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", &self[..])
    }
}

/// Names the sizes of a call's arrays, or panics at its caller's line in the call's words, with all shapes:
/// `shapes!("matmul takes a [M, K], b [K, N]", a [m, k], b [k2, n] if k == k2);`
#[doc(hidden)]
#[macro_export]
macro_rules! shapes {
    ($takes:expr, $($array:ident $sizes:pat),+ $(if $fit:expr)?) => {
        let got = || [$(format!("{} {:?}", stringify!($array), $array.shape())),+].join(", ");
        $(
            #[allow(irrefutable_let_patterns)]
            let $sizes = $array.shape()[..] else { panic!("{}; got {}", $takes, got()) };
        )+
        $(assert!($fit, "{}; got {}", $takes, got());)?
    };
}
