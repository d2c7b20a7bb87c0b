//! BaseWeights models: frozen, for adapters to stand on.
use super::source::Source;
use crate::error::{At, Result};
use crate::net::transformer::Transformer;
use autograd::BaseWeights;
use kernels::{Device, Tensor};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// BaseWeights model: a frozen one that adapters stand on.
#[derive(Clone)]
pub struct BaseModel {
    /// Where it lies.
    pub dir: PathBuf,
    /// Which array is what.
    pub net: Transformer,
    /// The arrays.
    pub base: Arc<BaseWeights>,
}

/// Cache of base models by their directories: who opens the same one twice shares it.
#[derive(Default)]
pub struct BaseModels {
    open: Vec<BaseModel>,
    exact: bool,
}

impl BaseModels {
    /// To answer or to be merged with: matrices in bf16 only where the file has them so, else in f32.
    pub fn exact() -> BaseModels {
        BaseModels { open: Vec::new(), exact: true }
    }

    /// The frozen model of a directory or a GGUF file.
    ///
    /// # Errors
    /// As [`load`](crate::load).
    pub fn open(&mut self, dir: &Path, device: &Device) -> Result<BaseModel> {
        let dir = fs::canonicalize(dir).at("find", dir)?;
        if let Some(open) = self.open.iter().find(|open| open.dir == dir) {
            return Ok(open.clone());
        }
        let (net, base) = load_base(&dir, device, self.exact)?;
        self.open.push(BaseModel { dir, net, base: Arc::new(base) });
        Ok(self.open[self.open.len() - 1].clone())
    }
}

/// A model that does not learn, its matrices in bf16: rounded to it, or where `exact` only those that are so in the
/// file. No more of it than one matrix is ever held twice.
pub(super) fn load_base(path: &Path, device: &Device, exact: bool) -> Result<(Transformer, BaseWeights)> {
    let source = Source::open(path)?;
    let (net, builder) = source.declare()?;
    let (shapes, mut base) = (builder.shapes(), builder.freeze());
    source.weights.each(
        &net,
        |id| shapes[&id].clone(),
        |id, numbers, halves| match exact && !halves {
            true => base.keep(id, &numbers.to(device)),
            false => base.set(id, &numbers.to(device)),
        },
    )?;
    if let Some(bias) = net.score_bias() {
        base.set(bias, &Tensor::new(&[1], vec![source.score_bias(path)?]).to(device));
    }
    kernels::release_pool(); // the f32 of every matrix
    Ok((net, base))
}
