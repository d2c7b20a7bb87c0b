//! Parameters: one flat buffer, many named slots. Gradients: the same layout.
//!
//! ```text
//! flat   [ matrices that decay … | gains, biases, whatever does not decay … ]
//!          ^ every slot starts at a multiple of 64 elements (the alignment of a GPU binding)
//! ```
//! So AdamW and gradient clipping are one pass over one array, accumulating micro-batches costs nothing
//! extra, and `policy.clone()` is free until the first step writes.
//!
//! Parameters may stand on a frozen [`BaseWeights`]: its arrays keep their ids, the slots of what learns come after
//! them.
use crate::base::{Adapter, BaseWeights, Frozen, Numbers};
use crate::grads::Grads;
use crate::tape::{Tape, Var};
use crate::weights::Weights;
use kernels::{Device, Form, Precision, Rng, Tensor};
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// Slots start at multiples of this many elements: 256 bytes, what WebGPU asks of a buffer binding.
const ALIGN: usize = 64;

/// Which parameter of its [`Params`], or which array of the base that they stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(pub(crate) usize);

/// What a parameter is before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
}

/// Where a parameter lies in the flat buffer.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    shape: Vec<usize>,
    pub offset: usize,
}

impl Slot {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

#[derive(Debug)]
pub(crate) struct Layout {
    /// Id of the first slot: those before it are of the base.
    first: usize,
    slots: Vec<Slot>,
    adapters: Vec<Adapter>,
    /// The first so many elements of the buffer decay.
    decayed: usize,
    pub total: usize,
}

impl Layout {
    #[track_caller]
    pub fn slot(&self, id: ParamId) -> &Slot {
        assert!(id.0 >= self.first, "a parameter of the frozen base is asked for as one that learns");
        &self.slots[id.0 - self.first]
    }

    /// The slot of `id` in a buffer of this layout.
    #[track_caller]
    pub(crate) fn view(&self, flat: &Tensor, id: ParamId) -> Tensor {
        let at = self.slot(id);
        flat.view(at.offset, &at.shape)
    }
}

/// The declaration of parameters, one after the other, before there are numbers.
#[derive(Default)]
pub struct ParamsBuilder {
    wanted: Vec<(Slot, Init, bool, Rng)>,
    names: HashSet<String>,
    base: Arc<BaseWeights>,
    adapters: Vec<Adapter>,
}

impl ParamsBuilder {
    /// What learns on frozen base weights.
    pub fn on(base: &Arc<BaseWeights>) -> ParamsBuilder {
        ParamsBuilder { base: base.clone(), ..ParamsBuilder::default() }
    }

    /// An adapter of rank `rank` for these rows of a matrix of the base. B is zero, so that nothing changes before it
    /// learns; A is as spread as PEFT's, whose uniform numbers within ±1/√I have this deviation.
    #[track_caller]
    pub fn adapter(
        &mut self,
        name: &str,
        weight: ParamId,
        rows: Range<usize>,
        rank: usize,
        scale: f32,
        rng: Rng,
    ) -> Adapter {
        let inputs = self.base.arrays[weight.0].shape[1];
        let std = 1.0 / (3.0 * inputs as f32).sqrt();
        let a = self.add(format!("{name}.lora_A"), &[rank, inputs], Init::Normal(std), true, rng);
        let b = self.add(format!("{name}.lora_B"), &[rows.len(), rank], Init::Zeros, true, rng);
        let adapter = Adapter { weight, rows, a, b, scale };
        self.adapters.push(adapter.clone());
        adapter
    }

    /// The shape of every parameter declared so far.
    pub fn shapes(&self) -> HashMap<ParamId, Vec<usize>> {
        let first = self.base.arrays.len();
        self.wanted.iter().enumerate().map(|(i, (w, ..))| (ParamId(first + i), w.shape.clone())).collect()
    }

    /// The same parameters as ones that never learn, to be [`set`](BaseWeights::set) one after the other.
    pub fn freeze(self) -> BaseWeights {
        let frozen = |w: Slot| Frozen { name: w.name, shape: w.shape, numbers: Numbers::Missing };
        BaseWeights { arrays: self.wanted.into_iter().map(|(slot, ..)| frozen(slot)).collect() }
    }

    /// A new parameter. `decay`: does weight decay pull on it (matrices: yes; gains and biases: no)?
    /// Its numbers depend on `rng` and its name only, not on the order of the calls.
    #[track_caller]
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], init: Init, decay: bool, rng: Rng) -> ParamId {
        let name = name.into();
        assert!(self.names.insert(name.clone()), "there are two parameters called {name}");
        let rng = rng.stream(&name);
        self.wanted.push((Slot { name, shape: shape.to_vec(), offset: 0 }, init, decay, rng));
        ParamId(self.base.arrays.len() + self.wanted.len() - 1)
    }

    /// The shape of a parameter declared before.
    pub fn shape(&self, id: ParamId) -> &[usize] {
        &self.wanted[id.0].0.shape
    }

    /// Lay the slots out, decayed ones first, and fill them.
    pub fn build(mut self, device: &Device) -> Params {
        let (mut total, mut decayed) = (0, 0);
        for decay_now in [true, false] {
            for (slot, _, decay, _) in &mut self.wanted {
                if *decay == decay_now {
                    slot.offset = total;
                    total += slot.len().next_multiple_of(ALIGN);
                }
            }
            if decay_now {
                decayed = total;
            }
        }
        let mut flat = vec![0.0; total.max(ALIGN)];
        for (slot, init, _, rng) in &self.wanted {
            let numbers = &mut flat[slot.offset..][..slot.len()];
            match init {
                Init::Zeros => {}
                Init::Ones => numbers.fill(1.0),
                Init::Normal(std) => {
                    let drawn = kernels::normal(*rng, &Device::Cpu, &[numbers.len()], *std);
                    numbers.copy_from_slice(drawn.data());
                }
            }
        }
        let slots = self.wanted.into_iter().map(|(slot, ..)| slot).collect();
        let (first, adapters, base) = (self.base.arrays.len(), self.adapters, self.base);
        let layout = Arc::new(Layout { first, slots, adapters, decayed, total: flat.len() });
        let flat = Tensor::from_slice(device, &[layout.total], &flat);
        Params { flat, layout, base, precision: Precision::F32 }
    }
}

/// The numbers of a model. Cloning is free; the first write afterwards copies.
#[derive(Clone)]
pub struct Params {
    flat: Tensor,
    layout: Arc<Layout>,
    base: Arc<BaseWeights>,
    precision: Precision,
}

impl Params {
    /// All numbers, as they lie. The gaps between slots hold zeros.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// To write in place with a kernel.
    pub fn flat_mut(&mut self) -> &mut Tensor {
        &mut self.flat
    }

    /// Put other numbers in: a flat buffer of the same layout, say from a checkpoint.
    #[track_caller]
    pub fn set_flat(&mut self, flat: &Tensor) {
        assert_eq!(flat.shape(), self.flat.shape(), "set_flat: another layout");
        self.flat = flat.to(&self.device());
    }

    /// The numbers of a parameter, or of an array of the base, in f32: a view.
    pub fn get(&self, id: ParamId) -> Tensor {
        if id.0 < self.layout.first { self.base.get(id) } else { self.layout.view(&self.flat, id) }
    }

    /// As `get`, with its adapters added: W + scale·B·A.
    pub fn merged(&self, id: ParamId) -> Tensor {
        let mut merged = self.get(id);
        for Adapter { rows, a, b, scale, .. } in self.adapters(id) {
            let offset = rows.start * merged.rows_cols().1;
            kernels::add_at(&mut merged, offset, *scale, &kernels::matmul(Form::NN, &self.get(*b), &self.get(*a)));
        }
        merged
    }

    pub(crate) fn adapters(&self, weight: ParamId) -> impl Iterator<Item = &Adapter> {
        self.layout.adapters.iter().filter(move |adapter| adapter.weight == weight)
    }

    /// What these stand on; empty where everything learns.
    pub fn base(&self) -> &Arc<BaseWeights> {
        &self.base
    }

    /// Put other numbers into one slot. On a GPU this moves the whole buffer: build on the CPU, then
    /// move once with `to`.
    #[track_caller]
    pub fn set(&mut self, id: ParamId, numbers: &[f32]) {
        let at = self.layout.slot(id);
        assert_eq!(numbers.len(), at.len(), "{} {:?} given {} numbers", at.name, at.shape, numbers.len());
        let device = self.device();
        let mut flat = std::mem::replace(&mut self.flat, Tensor::scalar(0.0)).to(&Device::Cpu);
        flat.data_mut()[at.offset..][..numbers.len()].copy_from_slice(numbers);
        self.flat = flat.to(&device);
    }

    /// One slot to fill in place, of parameters on the CPU.
    #[track_caller]
    pub fn data_mut(&mut self, id: ParamId) -> &mut [f32] {
        let at = &self.layout.slots[id.0];
        &mut self.flat.data_mut()[at.offset..][..at.len()]
    }

    /// The parameter of that name, if it is one that learns.
    pub fn by_name(&self, name: &str) -> Option<ParamId> {
        self.layout.slots.iter().position(|w| w.name == name).map(|i| ParamId(self.layout.first + i))
    }

    /// Its name.
    pub fn name(&self, id: ParamId) -> &str {
        &self.layout.slot(id).name
    }

    /// Its shape.
    pub fn shape(&self, id: ParamId) -> &[usize] {
        &self.layout.slot(id).shape
    }

    /// Every parameter that learns, in the order it was added.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &str, &[usize])> {
        let first = self.layout.first;
        self.layout.slots.iter().enumerate().map(move |(i, w)| (ParamId(first + i), &w.name[..], &w.shape[..]))
    }

    /// Number of parameters that learn, gaps not counted.
    pub fn count(&self) -> usize {
        self.layout.slots.iter().map(Slot::len).sum()
    }

    /// The first so many elements of the flat buffer are those that weight decay pulls on.
    pub fn decayed(&self) -> usize {
        self.layout.decayed
    }

    /// Where the numbers are.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// The same on another device; what they stand on is moved too.
    pub fn to(&self, device: &Device) -> Params {
        if self.device() == *device {
            return self.clone();
        }
        let base = if self.base.is_on(device) { self.base.clone() } else { Arc::new(self.base.to(device)) };
        Params { flat: self.flat.to(device), base, ..self.clone() }
    }

    /// Linear layers multiply so from now on, here and in what is cloned from here.
    pub fn multiply_in(self, precision: Precision) -> Params {
        Params { precision, ..self }
    }

    /// How linear layers multiply.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Gradients of this layout, all zero.
    pub fn grads(&self) -> Grads {
        Grads { flat: Tensor::zeros(&self.device(), &[self.layout.total]), layout: self.layout.clone() }
    }

    /// Weights that no tape sees: for inference, references, reward models.
    pub fn frozen(&self) -> Weights {
        self.weights(vec![false; self.layout.slots.len()].into(), |_, value| Var::from(value))
    }

    /// As `frozen`, for many passes over few tokens, which take the time that reading the weights takes: matrices are
    /// packed once, in the precision in which they are multiplied. (On a GPU there is nothing to gain.)
    pub fn decoding(&self) -> Weights {
        let mut weights = self.frozen();
        if self.device() == Device::Cpu {
            weights.packed.resize_with(weights.vars.len(), OnceCell::new);
        }
        weights
    }

    pub(crate) fn watch(&self, tape: &Tape, watched: Rc<[bool]>) -> Weights {
        let first = self.layout.first;
        self.weights(watched.clone(), |id, value| match watched[id.0 - first] {
            true => tape.param(id, value),
            false => Var::from(value),
        })
    }

    fn weights(&self, watched: Rc<[bool]>, var: impl Fn(ParamId, Tensor) -> Var) -> Weights {
        let base = self.base.arrays.iter().map(|array| match &array.numbers {
            Numbers::Matrix(w) => (None, Some(w.clone())),
            Numbers::Whole(array) => (Some(Var::from(array.clone())), None),
            Numbers::Missing => (None, None),
        });
        let own = self.iter().map(|(id, ..)| (Some(var(id, self.get(id))), None));
        let (vars, bf16) = base.chain(own).unzip();
        Weights { vars, watched, bf16, packed: Vec::new(), params: self.clone() }
    }

    /// Run `f` on these parameters, watched, and add the gradients of the loss [1] it returns to `grads`.
    /// Returns the loss and whatever else `f` returned. The tape lives as long as this call.
    #[track_caller]
    pub fn backprop<S>(&self, grads: &mut Grads, f: impl FnOnce(&Weights) -> (Var, S)) -> (f32, S) {
        let (loss, rest) = self.backprop_some(grads, |_| true, f);
        (loss.item(), rest)
    }

    /// As `backprop`, with only those parameters watched that `watch` says: nothing is computed or kept
    /// for the rest. The loss stays on its device, so this does not wait for a GPU.
    #[track_caller]
    pub fn backprop_some<S>(
        &self,
        grads: &mut Grads,
        watch: impl Fn(ParamId) -> bool,
        f: impl FnOnce(&Weights) -> (Var, S),
    ) -> (Tensor, S) {
        self.check(grads);
        let (loss, rest) = f(&self.watch(&Tape::default(), self.iter().map(|(id, ..)| watch(id)).collect()));
        let value = loss.value().clone();
        loss.backward(grads);
        (value, rest)
    }

    /// As `backprop`, where `f` returns any array y and the gradient dy to start from.
    #[track_caller]
    pub fn backprop_from(&self, grads: &mut Grads, f: impl FnOnce(&Weights) -> (Var, Tensor)) {
        self.check(grads);
        let (y, dy) = f(&self.watch(&Tape::default(), vec![true; self.layout.slots.len()].into()));
        y.backward_from(dy, grads);
    }

    #[track_caller]
    fn check(&self, grads: &Grads) {
        assert!(Arc::ptr_eq(&self.layout, &grads.layout), "backprop: these gradients are of another model");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Params, [ParamId; 3]) {
        let mut builder = ParamsBuilder::default();
        let rng = Rng::new(3);
        let gain = builder.add("gain", &[5], Init::Ones, false, rng);
        let matrix = builder.add("matrix", &[7, 13], Init::Normal(0.5), true, rng);
        let other = builder.add("other", &[2, 2], Init::Normal(0.5), true, rng);
        (builder.build(&Device::Cpu), [gain, matrix, other])
    }

    #[test]
    fn decayed_windows_come_first_each_at_a_multiple_of_64() {
        let (params, ids) = three();
        let offsets = ids.map(|id| params.layout.slots[id.0].offset);
        assert_eq!(offsets, [192, 0, 128]); // 7·13 = 91 numbers take 128 places, 4 take 64
        assert_eq!((params.decayed(), params.flat().len(), params.count()), (192, 256, 5 + 91 + 4));
        assert_eq!(params.get(ids[0]).to_vec(), [1.0; 5]);
        assert_eq!(params.get(ids[1]).shape(), [7, 13]);
        assert_eq!(params.by_name("other"), Some(ids[2]));
        assert_eq!(params.by_name("another"), None);
    }

    #[test]
    fn numbers_depend_on_the_name_not_on_the_order() {
        let (params, [_, matrix, _]) = three();
        let mut builder = ParamsBuilder::default();
        let alone = builder.add("matrix", &[7, 13], Init::Normal(0.5), true, Rng::new(3));
        assert_eq!(builder.build(&Device::Cpu).get(alone).to_vec(), params.get(matrix).to_vec());
    }

    #[test]
    fn setting_one_window_leaves_the_others_and_the_clone() {
        let (mut params, [gain, matrix, other]) = three();
        let before = params.clone();
        params.set(other, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(params.get(other).to_vec(), [1.0, 2.0, 3.0, 4.0]);
        for id in [gain, matrix] {
            assert_eq!(params.get(id).to_vec(), before.get(id).to_vec());
        }
        assert_ne!(before.get(other).to_vec(), params.get(other).to_vec());
    }

    #[test]
    #[should_panic(expected = "of another model")]
    fn gradients_belong_to_their_model() {
        let ((a, [id, ..]), (b, _)) = (three(), three());
        a.backprop(&mut b.grads(), |w| (crate::ops::sum(&w[id]), ()));
    }
}
