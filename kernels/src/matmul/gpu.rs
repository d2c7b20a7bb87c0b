//! Through wgpu: the ladder of products, the one for few rows, and how a product that one binding cannot cover is cut.
use super::{Form, Size};
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, Rungs, flat_groups, log2, read, row_groups, wgsl, windows, write};
use std::ops::Range;
use std::sync::Arc;

/// From the base up. What each adds stands in its file.
pub const RUNGS: &[&str] = &[
    "naive",
    "tile",
    "register 32",
    "register 64",
    "register 32 split",
    "register 64 split",
    "vec4 64x64",
    "vec4 64x64 split",
    "vec4 128x64",
    "vec4 128x64 split",
    "vec4 128x128",
    "half 128x128",
    "subgroups",
    "subgroups split",
    "matrix",
];
pub const FEW_RUNGS: &[&str] = &["lanes", "vec4", "subgroups"];

const COMMON: &str = include_str!("common.wgsl");
const NAIVE: &[&str] = &["alias Number = f32;\n", COMMON, include_str!("naive.wgsl")];
const TILE: &[&str] = &["alias Number = f32;\n", COMMON, include_str!("tile.wgsl")];
const REGISTER: &[&str] = &["alias Number = f32;\n", COMMON, include_str!("register.wgsl")];
const VEC4: &[&str] = &["alias Number = vec4f;\nalias Cell = vec4f;\n", COMMON, include_str!("vec4.wgsl")];
const HALF: &[&str] = &[include_str!("half.wgsl"), "alias Number = vec4f;\n", COMMON, include_str!("vec4.wgsl")];
const SUBGROUPS: &[&str] = &["alias Number = f32;\n", COMMON, include_str!("subgroups.wgsl")];
const MATRIX_8: &[&str] = &[include_str!("matrix.wgsl"), MATRIX_8_TYPES, COMMON, include_str!("matrix_main.wgsl")];
const MATRIX_16: &[&str] = &[include_str!("matrix.wgsl"), MATRIX_16_TYPES, COMMON, include_str!("matrix_main.wgsl")];
const MATRIX_8_TYPES: &str = "alias Number = f32;\nalias Left = coop_mat8x8<f16, A>;\nalias Right = coop_mat8x8<f16, B>;\n\
                              alias Sums = coop_mat8x8<f32, C>;\n";
const MATRIX_16_TYPES: &str = "alias Number = f32;\nalias Left = coop_mat16x16<f16, A>;\n\
                               alias Right = coop_mat16x16<f16, B>;\nalias Sums = coop_mat16x16<f32, C>;\n";
const FEW: [&[&str]; 3] = [
    &[wgsl::GRID, include_str!("few_rows.wgsl")],
    &[wgsl::GRID, include_str!("few_rows4.wgsl")],
    &[wgsl::GRID, include_str!("few_rows_subgroup.wgsl")],
];
const SUM_PARTS: Kernel =
    Kernel { name: "sum_parts", parts: &[wgsl::GRID, include_str!("sum_parts.wgsl")], consts: &[] };

/// One way to make a product.
struct Plan {
    name: &'static str,
    parts: &'static [&'static str],
    consts: Vec<(&'static str, u32)>,
    /// Rows and columns of c that a workgroup makes.
    tile: [usize; 2],
    /// Invocations of a workgroup.
    threads: usize,
    /// Do several workgroups share the k of a tile?
    split: bool,
}

impl Plan {
    fn kernel(&self) -> Kernel<'_> {
        Kernel { name: self.name, parts: self.parts, consts: &self.consts }
    }

    /// Tiles along m and along n.
    fn tiles(&self, m: usize, n: usize) -> [usize; 2] {
        [m.div_ceil(self.tile[0]), n.div_ceil(self.tile[1])]
    }

    /// k that each of the workgroups of one tile sums up. Where k is split: enough of them to fill a GPU, each with
    /// work enough, and at most `room` of them.
    fn per_part(&self, Size { m, n, k }: Size, room: usize) -> usize {
        if !self.split {
            return k.max(1);
        }
        let tiles = self.tiles(m, n).iter().product::<usize>().max(1);
        let parts = (FILLS / self.threads / tiles).min(k / 128).min(room).clamp(1, 32);
        k.div_ceil(parts).next_multiple_of(16)
    }
}

/// Invocations that keep even a large GPU busy.
const FILLS: usize = 1 << 17;

/// `matrix`: side of the matrix units, and invocations of a subgroup.
fn plan(rung: usize, form: Form, matrix: (usize, usize)) -> Plan {
    let name = RUNGS[rung];
    let split = name.ends_with("split");
    // "register 32", "vec4 128x64": rows and columns of a tile
    let numbers: Vec<usize> = name.split([' ', 'x']).filter_map(|word| word.parse().ok()).collect();
    let square = |side: usize| [side; 2];
    let wide = || {
        let [rows, columns] = [numbers[0], numbers[1]];
        let own = if rows * columns == 128 * 128 { 8 } else { 4 };
        let threads = rows * columns / (8 * own);
        let along = [form != Form::TN, form == Form::NT].map(usize::from);
        // as many k a step as one block of 4 x 4 numbers an invocation gives
        let k = 16 * threads / (rows + columns) / 8 * 8;
        let sizes = [("TILE_M", rows), ("TILE_N", columns), ("COLUMNS", own), ("BK", k)];
        let forms = [("A_ALONG_K", along[0]), ("B_ALONG_K", along[1])];
        (sizes.into_iter().chain(forms).collect(), [rows, columns], threads)
    };
    let (side, lanes) = matrix;
    let (name, parts, (consts, tile, threads)) = match name.split(' ').next().expect("a word") {
        "naive" => ("matmul_naive", NAIVE, (vec![], square(16), 256)),
        "tile" => ("matmul_tile", TILE, (vec![], square(16), 256)),
        "register" => {
            let tile = numbers[0];
            ("matmul_register", REGISTER, (vec![("TILE", tile)], square(tile), tile * tile / 16))
        }
        "vec4" => ("matmul_vec4", VEC4, wide()),
        "half" => ("matmul_half", HALF, wide()),
        "subgroups" => {
            let tile = [16 * 64 / lanes.clamp(1, 64), 4 * lanes];
            ("matmul_subgroups", SUBGROUPS, (vec![("SUB", lanes)], tile, 64))
        }
        _ => {
            let parts = if side == 8 { MATRIX_8 } else { MATRIX_16 };
            ("matmul_matrix", parts, (vec![("SIDE", side), ("LANES", lanes)], square(4 * side), 4 * lanes))
        }
    };
    let consts = consts.into_iter().map(|(name, value): (_, usize)| (name, value as u32)).collect();
    Plan { name, parts, consts, tile, threads, split }
}

fn few(rung: usize, rows: &'static [(&'static str, u32)]) -> Kernel<'static> {
    Kernel { name: ["few_rows", "few_rows4", "few_rows_subgroup"][rung], parts: FEW[rung], consts: rows }
}
const FOUR_ROWS: &[(&str, u32)] = &[("ROWS", 4)];
const SIXTEEN_ROWS: &[(&str, u32)] = &[("ROWS", 16)];

pub fn sources() -> Vec<(String, String)> {
    let forms = [Form::NN, Form::NT, Form::TN];
    let plans = (0..RUNGS.len()).flat_map(|rung| forms.map(|form| plan(rung, form, (16, 32))));
    let all: Vec<_> = plans.chain([plan(RUNGS.len() - 1, Form::NN, (8, 8))]).collect();
    let few = (0..3).flat_map(|rung| [few(rung, FOUR_ROWS), few(rung, SIXTEEN_ROWS)]);
    let all = all.iter().map(Plan::kernel).chain(few).chain([SUM_PARTS]);
    let mut sources: Vec<_> = all.map(|kernel| (kernel.title(), kernel.source())).collect();
    sources.sort();
    sources.dedup();
    sources
}

#[track_caller]
pub fn matmul(g: &Arc<Gpu>, form: Form, s: Size, a: &Tensor, b: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let c = g.array(&[s.m, s.n]);
    product(g, &Product { form, s, a, b, bias, add: false }, &c);
    c
}

#[track_caller]
pub fn matmul_add(g: &Arc<Gpu>, form: Form, s: Size, a: &Tensor, b: &Tensor, c: &Tensor) {
    product(g, &Product { form, s, a, b, bias: None, add: true }, c);
}

struct Product<'a> {
    form: Form,
    s: Size,
    a: &'a Tensor,
    b: &'a Tensor,
    bias: Option<&'a Tensor>,
    add: bool,
}

#[track_caller]
fn product(g: &Arc<Gpu>, x: &Product, c: &Tensor) {
    let Size { m, n, .. } = x.s;
    if m * n == 0 {
        return;
    }
    let few = x.form == Form::NT && m <= 16;
    let rung = if few { choose_few(g, x) } else { choose(g, x) };
    for part in parts(g.max_binding_words(), x.form, x.s) {
        if few { few_rows(g, rung, x, &part, c) } else { tiled(g, rung, x, &part, c) }
    }
}

/// The part of a product with these rows and columns of c, summed over these k.
struct Part {
    m: Range<usize>,
    n: Range<usize>,
    k: Range<usize>,
}

/// Parts whose operands one binding of `most` words can cover: mostly one. Cut where a window of a GPU buffer
/// may start, at multiples of 64 rows.
fn parts(most: usize, form: Form, Size { m, n, k }: Size) -> Vec<Part> {
    let fit = |widths: &[usize]| ((most / widths.iter().max().expect("one").max(&1)) & !63).max(64);
    // rows of c; where a is read along k, of a; where b is, of b; else k are the rows of the operands
    let (m_step, n_step, k_step) = match form {
        Form::NT => (fit(&[n, k]), fit(&[k]), k),
        Form::NN => (fit(&[n, k]), n, fit(&[n])),
        Form::TN => (fit(&[n]), n, fit(&[m, n])),
    };
    let mut parts = Vec::new();
    for m in windows(m, m_step) {
        for n in windows(n, n_step) {
            // k = 0 still has a sum to write
            let ks = windows(k.max(1), k_step.max(1)).map(|range| range.start..range.end.min(k));
            parts.extend(ks.map(|k| Part { m: m.clone(), n: n.clone(), k }));
        }
    }
    parts
}

/// Rows `range` of a matrix with rows of `width`.
fn rows(x: &Tensor, range: &Range<usize>, width: usize) -> Tensor {
    x.reshape(&[x.len()]).window(range.start * width, &[range.len() * width])
}

#[track_caller]
fn tiled(g: &Arc<Gpu>, rung: usize, x: &Product, part: &Part, c: &Tensor) {
    let Size { m, n, k } = x.s;
    let plan = plan_on(g, rung, x.form);
    let Part { m: ms, n: ns, k: ks } = part;
    let (a, a_0, a_m, a_k) = match x.form {
        Form::TN => (rows(x.a, ks, m), ms.start, 1, m),
        _ => (rows(x.a, ms, k), ks.start, k, 1),
    };
    let (b, b_k, b_n) = match x.form {
        Form::NT => (rows(x.b, ns, k), 1, k),
        _ => (rows(x.b, ks, n), n, 1),
    };
    let bias = x.bias.filter(|_| ks.start == 0).map(|bias| bias.window(ns.start, &[ns.len()]));
    let add = x.add || ks.start > 0;
    let c = rows(c, ms, n);
    let [tiles_m, tiles_n] = plan.tiles(ms.len(), ns.len());
    let size = Size { m: ms.len(), n: ns.len(), k: ks.len() };
    let per = plan.per_part(size, g.max_binding_words() / c.len().max(1));
    let z = ks.len().div_ceil(per).max(1);
    let groups = [tiles_n as u32, tiles_m as u32, z as u32];
    let sizes = |c_0: usize, c_m: usize, flags: [bool; 2]| {
        let sizes = [ms.len(), ns.len(), ks.len(), a_0, a_m, a_k, b_k, b_n, c_0, c_m, per];
        sizes.into_iter().chain(flags.map(usize::from)).map(|x| x as u32).collect::<Vec<_>>()
    };
    // without a bias b stands in its place and is not looked at
    let bias_or = |b: &Tensor| bias.as_ref().unwrap_or(b).clone();
    if z == 1 {
        let params = sizes(ns.start, n, [bias.is_some(), add]);
        return g.run(&plan.kernel(), groups, &params, &[read(&a), read(&b), read(&bias_or(&b)), write(&c)]);
    }
    assert_eq!(ns.len(), n, "a product that is cut along n is not split along k");
    let scratch = g.array(&[z, ms.len(), n]);
    let args = [read(&a), read(&b), read(&b), write(&scratch)];
    g.run(&plan.kernel(), groups, &sizes(0, n, [false, false]), &args);
    let params = [c.len(), n, z, bias.is_some() as usize, add as usize].map(|x| x as u32);
    g.run(&SUM_PARTS, flat_groups(c.len()), &params, &[read(&scratch), read(&bias_or(&scratch)), write(&c)]);
}

#[track_caller]
fn few_rows(g: &Arc<Gpu>, rung: usize, x: &Product, part: &Part, c: &Tensor) {
    let Size { m, n, k } = x.s;
    let w = rows(x.b, &part.n, k);
    let bias = x.bias.map(|bias| bias.window(part.n.start, &[part.n.len()]));
    let flags = [bias.is_some() as usize, x.add as usize];
    let params = [m, part.n.len(), k, part.n.start, n, flags[0], flags[1]].map(|x| x as u32);
    let args = [read(x.a), read(&w), read(bias.as_ref().unwrap_or(&w)), write(c)];
    let kernel = few(rung, if m <= 4 { FOUR_ROWS } else { SIXTEEN_ROWS });
    g.run(&kernel, row_groups(part.n.len().div_ceil(4)), &params, &args);
}

fn plan_on(g: &Gpu, rung: usize, form: Form) -> Plan {
    let offers = g.offers();
    plan(rung, form, (offers.matrix.unwrap_or(16) as usize, offers.subgroup_size as usize))
}

/// Do all rows of the operands start at multiples of four numbers?
fn fours(form: Form, s: Size) -> bool {
    let widths = match form {
        Form::NN => [s.k, s.n],
        Form::NT => [s.k, s.k],
        Form::TN => [s.m, s.n],
    };
    widths.iter().all(|width| width.is_multiple_of(4))
}

#[track_caller]
fn choose(g: &Arc<Gpu>, x: &Product) -> usize {
    let (form, s) = (x.form, x.s);
    let Size { m, n, k } = s;
    let fours = fours(form, s);
    let whole = parts(g.max_binding_words(), form, s).len() == 1;
    // in steps of the square root of 2: which tile is best depends on how many there are
    let [m_step, n_step, k_step] = [m, n, k.max(1)].map(|size| (2.0 * (size as f64).log2()) as u32);
    let class = [form as u32, m_step, n_step, k_step, fours as u32, whole as u32];
    if let Some(rung) = g.chosen("matmul", class) {
        return rung;
    }
    let fits = |rung: usize| {
        let plan = plan_on(g, rung, form);
        let splits = || whole && plan.per_part(s, g.max_binding_words() / (m * n)) < k;
        let lanes = g.offers().subgroup_fixed.unwrap_or(0);
        (!RUNGS[rung].starts_with("subgroups") || (8..=64).contains(&lanes))
            && (!RUNGS[rung].starts_with("vec4") && !RUNGS[rung].starts_with("half") || fours)
            && (!plan.split || splits())
    };
    let shaders = |rung: usize| {
        let second = plan_on(g, rung, form).split.then_some(SUM_PARTS.shader());
        fits(rung).then(|| [plan_on(g, rung, form).kernel().shader()].into_iter().chain(second).collect())
    };
    let rung = |name| RUNGS.iter().position(|rung| *rung == name).expect("a rung");
    let usual = match m.div_ceil(64) * n.div_ceil(64) {
        _ if g.is_software() && fits(rung("subgroups")) => rung("subgroups"),
        64.. => rung("register 64"),
        _ => rung("register 32"), // small tiles where large ones would leave most of a GPU idle
    };
    let rungs = Rungs { kernel: "matmul", class, names: RUNGS, usual, shaders: &shaders };
    g.choose(&rungs, &mut |rung| trial(g, x, |part, c| tiled(g, rung, &Product { add: false, ..*x }, part, c)))
}

#[track_caller]
fn choose_few(g: &Arc<Gpu>, x: &Product) -> usize {
    let Size { m, n, k } = x.s;
    let rows = if m <= 4 { FOUR_ROWS } else { SIXTEEN_ROWS };
    let shaders = |rung: usize| (rung == 0 || k.is_multiple_of(4)).then(|| vec![few(rung, rows).shader()]);
    let class = [rows[0].1, log2(n), log2(k), k.is_multiple_of(4) as u32, 0, 0];
    if let Some(rung) = g.chosen("matmul_few", class) {
        return rung;
    }
    let rungs = Rungs { kernel: "matmul_few", class, names: FEW_RUNGS, usual: 1, shaders: &shaders };
    g.choose(&rungs, &mut |rung| trial(g, x, |part, c| few_rows(g, rung, &Product { add: false, ..*x }, part, c)))
}

/// The product into an array of its own.
fn trial(g: &Arc<Gpu>, x: &Product, run: impl Fn(&Part, &Tensor)) -> Vec<Tensor> {
    let c = g.array(&[x.s.m, x.s.n]);
    parts(g.max_binding_words(), x.form, x.s).iter().for_each(|part| run(part, &c));
    vec![c]
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
