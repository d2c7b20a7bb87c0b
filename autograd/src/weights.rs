//! The parameters as a forward pass sees them.
use crate::base::Adapter;
use crate::ops;
use crate::params::{ParamId, Params};
use crate::tape::Var;
use kernels::{Bf16, Device, Ids, Packed};
use std::cell::OnceCell;
use std::ops::Index;
use std::rc::Rc;

/// The parameters as one forward pass sees them: through a tape, or not.
pub struct Weights {
    /// None: a matrix of the base.
    pub(crate) vars: Vec<Option<Var>>,
    pub(crate) watched: Rc<[bool]>,
    /// Matrices of the base, in bf16.
    pub(crate) bf16: Vec<Option<Bf16>>,
    /// Of weights for decoding on the CPU: each matrix that `linear` reads, packed when it first does. Else empty.
    pub(crate) packed: Vec<OnceCell<Packed>>,
    pub(crate) params: Params,
}

impl Index<ParamId> for Weights {
    type Output = Var;
    #[track_caller]
    fn index(&self, id: ParamId) -> &Var {
        self.vars[id.0].as_ref().expect("a matrix of a base is read by `linear` and `embed` only")
    }
}

impl Weights {
    /// y = x Wᵀ + b, and scale·(x Aᵀ) Bᵀ for each adapter of W, multiplied as [`Params::multiply_in`] said.
    /// x [N, I], weight [O, I], bias [O] → [N, O]
    #[track_caller]
    pub fn linear(&self, x: &Var, weight: ParamId, bias: Option<ParamId>) -> Var {
        let (precision, bias) = (self.params.precision(), bias.map(|b| &self[b]));
        let y = match (&self.bf16[weight.0], self.packed.get(weight.0)) {
            (Some(w), _) => ops::linear_bf16(precision, x, w, bias),
            (None, Some(packed)) => {
                let packed = packed.get_or_init(|| Packed::new(precision, self[weight].value()));
                Var::from(kernels::linear_packed(x.value(), packed, bias.map(Var::value)))
            }
            (None, None) => ops::linear_in(precision, x, &self[weight], bias),
        };
        self.params.adapters(weight).fold(y, |y, Adapter { rows, a, b, scale, .. }| {
            let down = self.linear(x, *a, None); // [N, r]
            ops::add_columns(&y, rows.start, *scale, &self.linear(&down, *b, None))
        })
    }

    /// Rows of a table of embeddings.  table [V, C], ids [N] → [N, C]
    #[track_caller]
    pub fn embed(&self, table: ParamId, ids: &Ids) -> Var {
        match (&self.vars[table.0], &self.bf16[table.0]) {
            (None, Some(w)) => Var::from(kernels::index_select_bf16(w, ids)),
            _ => ops::embed(&self[table], ids),
        }
    }

    /// Where the numbers are.
    pub fn device(&self) -> Device {
        self.params.device()
    }

    pub(crate) fn params(&self) -> &Params {
        &self.params
    }

    pub(crate) fn watched(&self) -> &Rc<[bool]> {
        &self.watched
    }

    pub(crate) fn any_watched(&self) -> Option<&Var> {
        self.vars.iter().flatten().find(|v| v.is_tracked())
    }
}
