//! The tape: a `Vec` of closures, each the way back from one op's output to its inputs.
//!
//! Values live in tensors; the tape only remembers how to come back. An op is appended after its inputs,
//! so the order of the `Vec` is a topological order, and going back is popping it: no sort, no recursion.
//! A node that was popped is gone, and with it everything that it saved.
//!
//! What it is not: there is no second derivative, and no mode. What is tracked follows from the weights
//! that a forward pass was given (see [`crate::params::Params::backprop`] and `frozen`).
use crate::grads::Grads;
use crate::params::{ParamId, Params};
use crate::weights::Weights;
use kernels::{Binary, Form, Precision, Shape, Tensor, matmul_in, zip};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// A tensor, and where on the tape it was made: nowhere, if nobody will differentiate it.
#[derive(Clone)]
pub struct Var {
    value: Tensor,
    node: Option<(Tape, NodeId)>,
    recompute: Option<Recompute>,
}

/// Makes a value a second time, from what its own way back holds on to anyway.
type Recompute = Rc<dyn Fn() -> Tensor>;

/// What an op saves of an input for its way back: the numbers, or how to recompute them where that is cheap.
pub(crate) enum Saved {
    Value(Tensor),
    Recompute(Recompute),
}

impl Saved {
    pub(crate) fn tensor(self) -> Tensor {
        match self {
            Saved::Value(value) => value,
            Saved::Recompute(recompute) => recompute(),
        }
    }
}

type NodeId = usize;

#[derive(Clone, Default)]
pub(crate) struct Tape(Rc<RefCell<Vec<Node>>>);

enum Node {
    Param(ParamId),
    Op { name: &'static str, back: Back },
}

type Back = Box<dyn FnOnce(Tensor, &mut Backprop)>;

/// What travels backwards: for each node the gradient accumulated so far, and those of the parameters.
struct Backprop<'a> {
    slots: Vec<Option<Tensor>>,
    leaves: Vec<Option<ParamId>>,
    grads: &'a mut Grads,
}

impl Backprop<'_> {
    /// The one place where gradients meet: they add. Those of parameters go straight to the flat buffer.
    fn give(&mut self, to: NodeId, gradient: Gradient) {
        match (self.leaves[to], gradient) {
            (Some(param), Gradient::Array(gradient)) => self.grads.add(param, &gradient),
            (Some(param), Gradient::Product(product)) => self.grads.add_product(param, &product),
            (None, gradient) => {
                let gradient = gradient.array();
                match &mut self.slots[to] {
                    // what somebody else holds too is not copied first to be added to
                    Some(have) if have.is_shared() => *have = zip(Binary::Add, have, &gradient, [0.0; 2]),
                    Some(have) => kernels::axpy(have, 1.0, &gradient),
                    none => *none = Some(gradient),
                }
            }
        }
    }
}

/// What goes back to an input: an array, or a matrix product still to be made, which a parameter's gradient takes in
/// without an array between.
pub(crate) enum Gradient {
    Array(Tensor),
    Product(Product),
}

pub(crate) struct Product {
    pub precision: Precision,
    pub form: Form,
    pub a: Tensor,
    pub b: Tensor,
}

impl Gradient {
    fn array(self) -> Tensor {
        match self {
            Gradient::Array(array) => array,
            Gradient::Product(Product { precision, form, a, b }) => matmul_in(precision, form, &a, &b),
        }
    }
}

/// The one door onto the tape: an op is its inputs, its value, and the way back to each input.
///
/// `back` is given dy, the gradient of the value, and which inputs want theirs; it returns one gradient
/// per input, in the input's shape. It is kept, with all that it captured, only if an input is tracked.
/// Capture tensors, never a `Var`: that would hold the tape from within.
#[track_caller]
pub fn record<const N: usize>(
    name: &'static str,
    inputs: [&Var; N],
    value: Tensor,
    back: impl FnOnce(Tensor, [bool; N]) -> [Option<Tensor>; N] + 'static,
) -> Var {
    record_products(name, inputs, value, move |dy, needs| back(dy, needs).map(|g| g.map(Gradient::Array)))
}

/// As [`record`], for an op whose gradients may be products.
#[track_caller]
pub(crate) fn record_products<const N: usize>(
    name: &'static str,
    inputs: [&Var; N],
    value: Tensor,
    back: impl FnOnce(Tensor, [bool; N]) -> [Option<Gradient>; N] + 'static,
) -> Var {
    let to = inputs.map(|v| v.node.as_ref().map(|(_, id)| (*id, Shape::new(v.value.shape()))));
    record_raw(name, &inputs, value, move |dy, pass| {
        for (to, gradient) in to.into_iter().zip(back(dy, to.map(|t| t.is_some()))) {
            let Some((id, shape)) = to else { continue };
            let gradient = gradient.unwrap_or_else(|| panic!("{name}: no gradient for an input that needs one"));
            if let Gradient::Array(gradient) = &gradient {
                assert_eq!(gradient.shape(), &shape[..], "{name}: the gradient (left) is not of its input's shape");
            }
            pass.give(id, gradient);
        }
    })
}

#[track_caller]
fn record_raw(
    name: &'static str,
    inputs: &[&Var],
    value: Tensor,
    back: impl FnOnce(Tensor, &mut Backprop) + 'static,
) -> Var {
    let mut tapes = inputs.iter().filter_map(|v| v.node.as_ref()).map(|(tape, _)| tape);
    let Some(tape) = tapes.next() else { return Var::from(value) };
    assert!(tapes.all(|t| Rc::ptr_eq(&t.0, &tape.0)), "{name}: its inputs are on two tapes; detach() one of them");
    tape.append(value, Node::Op { name, back: Box::new(back) })
}

impl Tape {
    fn append(&self, value: Tensor, node: Node) -> Var {
        let mut nodes = self.0.borrow_mut();
        nodes.push(node);
        Var { value, node: Some((self.clone(), nodes.len() - 1)), recompute: None }
    }

    pub(crate) fn param(&self, id: ParamId, value: Tensor) -> Var {
        self.append(value, Node::Param(id))
    }

    /// A leaf that is no parameter; its gradient is handed to `receive`.
    fn input(&self, value: Tensor, receive: impl FnOnce(Tensor) + 'static) -> Var {
        self.append(value, Node::Op { name: "input", back: Box::new(move |dy, _| receive(dy)) })
    }
}

impl From<Tensor> for Var {
    /// A constant: nothing on the way here is differentiated.
    fn from(value: Tensor) -> Var {
        Var { value, node: None, recompute: None }
    }
}

impl Var {
    /// The numbers.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Sizes of its axes.
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// Says how the value of this op is recomputed, so that the ops that read it need not save it.
    pub(crate) fn recomputed_by(self, recompute: impl Fn() -> Tensor + 'static) -> Var {
        let recompute = self.is_tracked().then(|| Rc::new(recompute) as Recompute);
        Var { recompute, ..self }
    }

    pub(crate) fn save(&self) -> Saved {
        match &self.recompute {
            Some(recompute) => Saved::Recompute(recompute.clone()),
            None => Saved::Value(self.value.clone()),
        }
    }

    /// The same numbers as a constant.
    pub fn detach(&self) -> Var {
        Var::from(self.value.clone())
    }

    /// The only element. Waits for the device.
    #[track_caller]
    pub fn item(&self) -> f32 {
        self.value.item()
    }

    /// Will a gradient flow through here?
    pub fn is_tracked(&self) -> bool {
        self.node.is_some()
    }

    /// Add the gradients of this [1] to `grads`.
    #[track_caller]
    pub fn backward(self, grads: &mut Grads) {
        assert_eq!(self.value.len(), 1, "backward() starts from one number, got shape {:?}", self.shape());
        let one = Tensor::full(&self.value.device(), self.shape(), 1.0);
        self.backward_from(one, grads);
    }

    /// Add the gradients of Σ dy·self to `grads`, dropping each node as soon as it has been used.
    #[track_caller]
    pub fn backward_from(self, dy: Tensor, grads: &mut Grads) {
        let (tape, id) = self.node.expect("backward: nothing on the way here was tracked");
        assert_eq!(dy.shape(), self.value.shape(), "backward_from: dy (left) is not of the value's shape");
        drop(self.value);
        let mut nodes = std::mem::take(&mut *tape.0.borrow_mut());
        assert!(id < nodes.len(), "backward: this tape was already walked back");
        let leaves = nodes.iter().map(|node| if let Node::Param(p) = node { Some(*p) } else { None }).collect();
        let mut pass = Backprop { slots: vec![None; nodes.len()], leaves, grads };
        pass.give(id, Gradient::Array(dy));
        while let Some(node) = nodes.pop() {
            let Some(dy) = pass.slots[nodes.len()].take() else { continue }; // no gradient arrived here
            if let Node::Op { back, .. } = node {
                back(dy, &mut pass);
            }
        }
    }

    /// Names of the ops on the way here, oldest first: for tests, and for looking at what was recorded.
    pub fn tape_names(&self) -> Vec<&'static str> {
        let Some((tape, id)) = &self.node else { return Vec::new() };
        let name = |node: &Node| match node {
            Node::Param(_) => "param",
            Node::Op { name, .. } => name,
        };
        tape.0.borrow().iter().take(id + 1).map(name).collect()
    }
}

/// Tracked or constant, and the [`Tensor`].
impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if self.is_tracked() { "Var, tracked: " } else { "Var, constant: " })?;
        self.value.fmt(f)
    }
}

/// f(w, x), forgetting everything in between; it runs again when the gradient comes back.
///
/// Saves the activations of `f` for the price of a second forward pass (Chen et al. 2016). The second
/// pass computes the same bits as the first, so the gradients are those of plain `f(w, x)`, bit for bit.
#[track_caller]
pub fn checkpoint(w: &Weights, x: &Var, f: impl Fn(&Weights, &Var) -> Var + 'static) -> Var {
    let y = f(&w.params().frozen(), &x.detach()).value;
    let (params, watched): (Params, Rc<[bool]>) = (w.params().clone(), w.watched().clone());
    let (x_value, x_id) = (x.value.clone(), x.node.as_ref().map(|(_, id)| *id));
    let inputs: Vec<&Var> = std::iter::once(x).chain(w.any_watched()).collect();
    record_raw("checkpoint", &inputs, y, move |dy, pass| {
        let tape = Tape::default();
        let dx = Rc::new(Cell::new(None));
        let y = {
            let w = params.watch(&tape, watched);
            let x = match x_id {
                None => Var::from(x_value),
                Some(_) => tape.input(x_value, {
                    let dx = dx.clone();
                    move |g| dx.set(Some(g))
                }),
            };
            f(&w, &x)
        };
        y.backward_from(dy, pass.grads);
        if let (Some(id), Some(dx)) = (x_id, dx.take()) {
            pass.give(id, Gradient::Array(dx));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamsBuilder, ops};
    use kernels::{Device, Rng};

    fn one_param(shape: &[usize]) -> (Params, ParamId) {
        let mut builder = ParamsBuilder::default();
        let x = builder.add("x", shape, Init::Normal(1.0), true, Rng::new(1));
        (builder.build(&Device::Cpu), x)
    }

    #[test]
    fn a_million_ops_are_just_a_long_vec() {
        let (params, x) = one_param(&[1]);
        let mut grads = params.grads();
        params.backprop(&mut grads, |w| ((0..1_000_000).fold(w[x].clone(), |y, _| ops::scale(&y, 1.0)), ()));
        assert_eq!(grads.get(x).item(), 1.0);
    }

    #[test]
    fn gradients_accumulate_until_zeroed() {
        let (params, x) = one_param(&[3]);
        let mut grads = params.grads();
        for passes in 1..=3 {
            params.backprop(&mut grads, |w| (ops::sum(&w[x]), ()));
            assert_eq!(grads.get(x).to_vec(), [passes as f32; 3]);
        }
        grads.zero();
        assert_eq!(grads.norm(), 0.0);
    }

    #[test]
    fn frozen_weights_leave_nothing_behind() {
        let (params, x) = one_param(&[3]);
        let w = params.frozen();
        let y = ops::sum(&ops::square(&w[x]));
        assert!(!y.is_tracked() && y.tape_names().is_empty());
    }

    #[test]
    fn debug_shows_numbers() {
        let y = Var::from(Tensor::new(&[2], vec![0.5, -1.0]));
        assert_eq!(format!("{y:?}"), "Var, constant: Tensor[2] on cpu: [ 0.5000, -1.0000]");
        assert_eq!(format!("{y:.1?}"), "Var, constant: Tensor[2] on cpu: [ 0.5, -1.0]");
        let (params, x) = one_param(&[1]);
        let show = |w: &Weights| (w[x].clone(), format!("{:?}", w[x]));
        assert!(params.backprop(&mut params.grads(), show).1.starts_with("Var, tracked: Tensor[1] on cpu: ["));
    }

    #[test]
    fn detach_stops_the_gradient() {
        let (params, x) = one_param(&[1]);
        let mut grads = params.grads();
        let at = params.get(x).item();
        params.backprop(&mut grads, |w| (&w[x] * &w[x].detach(), ()));
        assert_eq!(grads.get(x).item(), at);
    }

    #[test]
    fn a_node_drops_what_it_saved() {
        let (params, x) = one_param(&[4]);
        let mut grads = params.grads();
        let saved = Tensor::new(&[4], vec![2.0; 4]);
        let watcher = saved.clone();
        params.backprop(&mut grads, |w| (ops::dot(&w[x], &saved), ()));
        drop(saved);
        assert!(!watcher.is_shared());
    }

    #[test]
    #[should_panic(expected = "on two tapes")]
    fn two_tapes_do_not_mix() {
        let (params, x) = one_param(&[1]);
        let (mut outer, mut inner) = (params.grads(), params.grads());
        params.backprop(&mut outer, |a| {
            params.backprop(&mut inner, |b| (&a[x] + &b[x], ()));
            (a[x].clone(), ())
        });
    }

    #[test]
    #[should_panic(expected = "bad: the gradient (left) is not of its input's shape")]
    fn a_gradient_has_its_inputs_shape() {
        let (params, x) = one_param(&[2]);
        let bad = |w: &Weights| record("bad", [&w[x]], Tensor::scalar(0.0), |dy, _| [Some(dy)]);
        params.backprop(&mut params.grads(), |w| (bad(w), ()));
    }

    #[test]
    #[should_panic(expected = "starts from one number")]
    fn a_loss_is_one_number() {
        let (params, x) = one_param(&[2]);
        params.backprop(&mut params.grads(), |w| (w[x].clone(), ()));
    }
}
