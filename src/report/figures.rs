//! What the plots of several sections share: one bar for each model, sizes apart.

use super::Run;
use super::claims::Measured;
use crate::plot::{Bar, BarPlot, Row};
use crate::results::{ByModel, Rate};
use crate::stages::shown;

/// ↑ stands in a title whose higher bars are better, ↓ where lower ones are.
pub fn by_size(run: &Run, title: &str, axis: &str, bar: impl Fn(&str) -> Option<Bar>) -> BarPlot {
    let of = |size: &String, kind: &str| bar(&format!("{size}.{kind}"));
    let kinds: Vec<_> = shown().filter(|kind| run.sizes.iter().any(|size| of(size, kind.name).is_some())).collect();
    let row = |size: &String, i: usize| Row {
        name: format!("{size}.{}", kinds[i].name),
        colour: kinds[i].colour,
        bar: of(size, kinds[i].name),
        first: i == 0,
    };
    let rows = run.sizes.iter().flat_map(|size| (0..kinds.len()).map(move |i| row(size, i))).collect();
    BarPlot { title: title.into(), axis: axis.into(), unit: "", rows, mark: None, ceiling: None }
}

/// A share in percent with its whisker; nothing where nothing was counted.
pub fn share(rate: &Rate) -> Option<Bar> {
    let Measured { value, low, high } = Measured::share(rate)?;
    Some(Bar { value: 100.0 * value, interval: Some((100.0 * low, 100.0 * high)) })
}

/// Shares of every model on an axis up to `ceiling` percent at least.
pub fn shares(run: &Run, title: &str, axis: &str, rates: &ByModel<Rate>, ceiling: f64) -> BarPlot {
    let plot = by_size(run, title, axis, |model| rates.get(model).and_then(share));
    BarPlot { unit: "%", ceiling: Some(ceiling), ..plot }
}

/// Figures without intervals; nothing if no model has one.
pub fn plain(run: &Run, title: &str, axis: &str, figures: &ByModel<f64>) -> Option<String> {
    let plot = by_size(run, title, axis, |model| figures.get(model).map(|&value| Bar { value, interval: None }));
    (!plot.rows.is_empty()).then(|| plot.svg())
}
