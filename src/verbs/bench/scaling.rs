//! `rlhf bench scaling`: what a training step costs as the work grows; should be linear where the work is.

use super::steps::Shape;
use crate::error::{Failure, Result};
use crate::plot::{LinePlot, Series, standalone};
use crate::session::Common;
use kernels::{Device, Precision};
use serde_json::{Value, json};
use std::path::Path;

const BASE: Shape =
    Shape { layers: 4, channels: 256, heads: 4, context: 256, vocab: 2048, batch: 8, precision: Precision::F32 };

/// What grows, and the shapes along the way.
fn axes() -> Vec<(&'static str, &'static str, Vec<(f64, Shape)>)> {
    let tokens = [128, 256, 512, 1024, 2048, 4096, 8192];
    let of_tokens = |n: usize| (n as f64, Shape { context: n.min(256), batch: n.div_ceil(256), ..BASE });
    let of_context = |t: usize| (t as f64, Shape { context: t, batch: 2048 / t, ..BASE });
    let of_width =
        |c: usize| ((c * c) as f64 / 1e3, Shape { channels: c, heads: c / 64, context: 128, batch: 8, ..BASE });
    vec![
        ("tokens", "tokens a step, in sequences of up to 256", tokens.map(of_tokens).to_vec()),
        (
            "context",
            "length of a sequence, 2048 tokens a step",
            [64, 128, 256, 512, 1024, 2048].map(of_context).to_vec(),
        ),
        ("width", "channels squared / 1000, 1024 tokens a step", [64, 128, 256, 384, 512, 768].map(of_width).to_vec()),
    ]
}

/// Measures each axis; with `plots` writes an SVG of each into that folder.
pub fn run(precision: Precision, device: &Device, plots: Option<&Path>, common: &Common) -> Result {
    let mut all = Vec::new();
    for (name, label, shapes) in axes() {
        let mut points = Vec::new();
        for (x, shape) in shapes {
            let seconds = Shape { precision, ..shape }.time_training(device)[0];
            let us = 1e6 * seconds / (shape.batch * shape.context) as f64;
            if !common.json {
                println!("{name:<8} {x:>8}  {:>9.2} ms a step  {us:>7.2} us a token", 1e3 * seconds);
            }
            all.push(json!({"axis": name, "x": x, "seconds": seconds, "precision": precision.name()}));
            points.push((x, 1e3 * seconds));
        }
        if let Some(dir) = plots {
            let title = format!("Training step, {} channels, {}", BASE.channels, precision.name());
            let series = vec![Series::new("ms", 2, points)];
            let plot = LinePlot { title, x: label.into(), y: "ms a step".into(), series };
            let file = dir.join(format!("scaling-{name}.svg"));
            std::fs::write(&file, standalone(&plot.svg())).map_err(|e| Failure::write(&file, e))?;
        }
    }
    if common.json {
        println!("{}", Value::Array(all));
    }
    Ok(())
}
