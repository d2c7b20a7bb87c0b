//! Through wgpu: the ladder of products, the one of skinny products (few rows), and how a product that one binding
//! cannot cover is cut.
use super::{Form, Size};
use crate::Tensor;
use crate::gpu::{Compiled, Gpu, Kernel, Rungs, chunks, compiled, flat_groups, log2, read, row_groups, wgsl, write};
use Shader::*;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A variant of the product.
#[derive(Clone, Copy, PartialEq)]
pub struct Rung {
    shader: Shader,
    /// Do several workgroups share the k of a tile?
    split: bool,
}

/// What each adds to the one before it stands in its file.
#[derive(Clone, Copy, PartialEq)]
enum Shader {
    Naive,
    Tile,
    /// A workgroup makes `tile` rows and columns of c.
    Register {
        tile: usize,
    },
    /// A workgroup makes so many rows and columns, from tiles in f16 where `half` says so.
    Vec4 {
        rows: usize,
        columns: usize,
        half: bool,
    },
    Subgroups,
    Matrix,
}

const fn whole(shader: Shader) -> Rung {
    Rung { shader, split: false }
}

const fn split(shader: Shader) -> Rung {
    Rung { shader, split: true }
}

const fn vec4(rows: usize, columns: usize) -> Shader {
    Vec4 { rows, columns, half: false }
}

/// From the base up.
pub const RUNGS: &[Rung] = &[
    whole(Naive),
    whole(Tile),
    whole(Register { tile: 32 }),
    whole(Register { tile: 64 }),
    split(Register { tile: 32 }),
    split(Register { tile: 64 }),
    whole(vec4(64, 64)),
    split(vec4(64, 64)),
    whole(vec4(128, 64)),
    split(vec4(128, 64)),
    whole(vec4(128, 128)),
    whole(Vec4 { rows: 128, columns: 128, half: true }),
    whole(Subgroups),
    split(Subgroups),
    whole(Matrix),
];

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.shader {
            Naive => write!(f, "naive"),
            Tile => write!(f, "tile"),
            Register { tile } => write!(f, "register {tile}"),
            Vec4 { rows, columns, half: false } => write!(f, "vec4 {rows}x{columns}"),
            Vec4 { rows, columns, half: true } => write!(f, "half {rows}x{columns}"),
            Subgroups => write!(f, "subgroups"),
            Matrix => write!(f, "matrix"),
        }?;
        f.write_str(if self.split { " split" } else { "" })
    }
}

/// A variant of the skinny product (few rows): how the invocations of a row read and add up.
#[derive(Clone, Copy, PartialEq)]
pub enum FewRung {
    Lanes,
    Vec4,
    Subgroups,
}
pub const FEW_RUNGS: &[FewRung] = &[FewRung::Lanes, FewRung::Vec4, FewRung::Subgroups];

impl fmt::Display for FewRung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            FewRung::Lanes => "lanes",
            FewRung::Vec4 => "vec4",
            FewRung::Subgroups => "subgroups",
        })
    }
}

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
fn plan(rung: Rung, form: Form, matrix: (usize, usize)) -> Plan {
    let square = |side: usize| [side; 2];
    let (side, lanes) = matrix;
    let (name, parts, consts, tile, threads) = match rung.shader {
        Naive => ("matmul_naive", NAIVE, vec![], square(16), 256),
        Tile => ("matmul_tile", TILE, vec![], square(16), 256),
        Register { tile } => ("matmul_register", REGISTER, vec![("TILE", tile)], square(tile), tile * tile / 16),
        Vec4 { rows, columns, half } => {
            let own = if rows * columns == 128 * 128 { 8 } else { 4 };
            let threads = rows * columns / (8 * own);
            let along = [form != Form::TN, form == Form::NT].map(usize::from);
            // as many k a step as one block of 4 x 4 numbers an invocation gives
            let k = 16 * threads / (rows + columns) / 8 * 8;
            let sizes = [("TILE_M", rows), ("TILE_N", columns), ("COLUMNS", own), ("BK", k)];
            let forms = [("A_ALONG_K", along[0]), ("B_ALONG_K", along[1])];
            let (name, parts) = if half { ("matmul_half", HALF) } else { ("matmul_vec4", VEC4) };
            (name, parts, sizes.into_iter().chain(forms).collect(), [rows, columns], threads)
        }
        Subgroups => {
            let tile = [16 * 64 / lanes.clamp(1, 64), 4 * lanes];
            ("matmul_subgroups", SUBGROUPS, vec![("SUB", lanes)], tile, 64)
        }
        Matrix => {
            let parts = if side == 8 { MATRIX_8 } else { MATRIX_16 };
            ("matmul_matrix", parts, vec![("SIDE", side), ("LANES", lanes)], square(4 * side), 4 * lanes)
        }
    };
    let consts = consts.into_iter().map(|(name, value): (_, usize)| (name, value as u32)).collect();
    Plan { name, parts, consts, tile, threads, split: rung.split }
}

fn few(rung: FewRung, rows: &'static [(&'static str, u32)]) -> Kernel<'static> {
    let (name, parts): (_, &[&str]) = match rung {
        FewRung::Lanes => ("few_rows", &[wgsl::GRID, include_str!("few_rows.wgsl")]),
        FewRung::Vec4 => ("few_rows4", &[wgsl::GRID, include_str!("few_rows4.wgsl")]),
        FewRung::Subgroups => ("few_rows_subgroup", &[wgsl::GRID, include_str!("few_rows_subgroup.wgsl")]),
    };
    Kernel { name, parts, consts: rows }
}
const FOUR_ROWS: &[(&str, u32)] = &[("ROWS", 4)];
const SIXTEEN_ROWS: &[(&str, u32)] = &[("ROWS", 16)];

pub fn sources() -> Vec<(String, String)> {
    let forms = [Form::NN, Form::NT, Form::TN];
    let plans = RUNGS.iter().flat_map(|&rung| forms.map(|form| plan(rung, form, (16, 32))));
    let all: Vec<_> = plans.chain([plan(whole(Matrix), Form::NN, (8, 8))]).collect();
    let few = FEW_RUNGS.iter().flat_map(|&rung| [few(rung, FOUR_ROWS), few(rung, SIXTEEN_ROWS)]);
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
    if x.form == Form::NT && m <= 16 {
        let rung = choose_few(g, x);
        compiled(in_parts(g, x, |part| few_rows(g, rung, x, part, c)));
    } else {
        let rung = choose(g, x);
        compiled(in_parts(g, x, |part| tiled(g, rung, x, part, c)));
    }
}

fn in_parts(g: &Gpu, x: &Product, run: impl FnMut(&Part) -> Compiled<()>) -> Compiled<()> {
    parts(g.max_binding_words(), x.form, x.s).iter().try_for_each(run)
}

/// The part of a product with these rows and columns of c, summed over these k.
struct Part {
    m: Range<usize>,
    n: Range<usize>,
    k: Range<usize>,
}

/// Parts whose operands one binding of `most` words can cover: mostly one. Cut where a binding may start, at multiples
/// of 64 rows.
fn parts(most: usize, form: Form, Size { m, n, k }: Size) -> Vec<Part> {
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

/// Rows `range` of a matrix with rows of `width`.
fn rows(x: &Tensor, range: &Range<usize>, width: usize) -> Tensor {
    x.reshape(&[x.len()]).view(range.start * width, &[range.len() * width])
}

#[track_caller]
fn tiled(g: &Arc<Gpu>, rung: Rung, x: &Product, part: &Part, c: &Tensor) -> Compiled<()> {
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
    let bias = x.bias.filter(|_| ks.start == 0).map(|bias| bias.view(ns.start, &[ns.len()]));
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
        return g.try_run(&plan.kernel(), groups, &params, &[read(&a), read(&b), read(&bias_or(&b)), write(&c)]);
    }
    assert_eq!(ns.len(), n, "a product that is cut along n is not split along k");
    let scratch = g.array(&[z, ms.len(), n]);
    let args = [read(&a), read(&b), read(&b), write(&scratch)];
    g.try_run(&plan.kernel(), groups, &sizes(0, n, [false, false]), &args)?;
    let params = [c.len(), n, z, bias.is_some() as usize, add as usize].map(|x| x as u32);
    g.try_run(&SUM_PARTS, flat_groups(c.len()), &params, &[read(&scratch), read(&bias_or(&scratch)), write(&c)])
}

#[track_caller]
fn few_rows(g: &Arc<Gpu>, rung: FewRung, x: &Product, part: &Part, c: &Tensor) -> Compiled<()> {
    let Size { m, n, k } = x.s;
    let w = rows(x.b, &part.n, k);
    let bias = x.bias.map(|bias| bias.view(part.n.start, &[part.n.len()]));
    let flags = [bias.is_some() as usize, x.add as usize];
    let params = [m, part.n.len(), k, part.n.start, n, flags[0], flags[1]].map(|x| x as u32);
    let args = [read(x.a), read(&w), read(bias.as_ref().unwrap_or(&w)), write(c)];
    let kernel = few(rung, if m <= 4 { FOUR_ROWS } else { SIXTEEN_ROWS });
    g.try_run(&kernel, row_groups(part.n.len().div_ceil(4)), &params, &args)
}

fn plan_on(g: &Gpu, rung: Rung, form: Form) -> Plan {
    let has = g.features();
    plan(rung, form, (has.matrix.unwrap_or(16) as usize, has.subgroup_size as usize))
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
fn choose(g: &Arc<Gpu>, x: &Product) -> Rung {
    let (form, s) = (x.form, x.s);
    let Size { m, n, k } = s;
    let fours = fours(form, s);
    let undivided = parts(g.max_binding_words(), form, s).len() == 1;
    // in steps of the square root of 2: which tile is best depends on how many there are
    let [m_step, n_step, k_step] = [m, n, k.max(1)].map(|size| (2.0 * (size as f64).log2()) as u32);
    let class = [form as u32, m_step, n_step, k_step, fours as u32, undivided as u32];
    let broadcasts = (8..=64).contains(&g.features().subgroup_fixed.unwrap_or(0));
    let splits = |plan: &Plan| undivided && plan.per_part(s, g.max_binding_words() / (m * n)) < k;
    let shaders = |rung: Rung| {
        let plan = plan_on(g, rung, form);
        let fits = match rung.shader {
            Subgroups => broadcasts,
            Vec4 { .. } => fours,
            _ => true,
        };
        let second = plan.split.then_some(SUM_PARTS.shader());
        (fits && (!plan.split || splits(&plan))).then(|| [plan.kernel().shader()].into_iter().chain(second).collect())
    };
    let default = match m.div_ceil(64) * n.div_ceil(64) {
        _ if g.is_software() && broadcasts => whole(Subgroups),
        64.. => whole(Register { tile: 64 }),
        _ => whole(Register { tile: 32 }), // small tiles where large ones would leave most of a GPU idle
    };
    let rungs = Rungs { kernel: "matmul", class, all: RUNGS, default, shaders: &shaders };
    g.choose(&rungs, &mut |rung| trial(g, x, |x, part, c| tiled(g, rung, x, part, c)))
}

#[track_caller]
fn choose_few(g: &Arc<Gpu>, x: &Product) -> FewRung {
    let Size { m, n, k } = x.s;
    let rows = if m <= 4 { FOUR_ROWS } else { SIXTEEN_ROWS };
    let fits = |rung| rung == FewRung::Lanes || k.is_multiple_of(4);
    let shaders = |rung| fits(rung).then(|| vec![few(rung, rows).shader()]);
    let class = [rows[0].1, log2(n), log2(k), k.is_multiple_of(4) as u32, 0, 0];
    let rungs = Rungs { kernel: "matmul_few", class, all: FEW_RUNGS, default: FewRung::Vec4, shaders: &shaders };
    g.choose(&rungs, &mut |rung| trial(g, x, |x, part, c| few_rows(g, rung, x, part, c)))
}

/// The product into an array of its own.
fn trial(g: &Arc<Gpu>, x: &Product, run: impl Fn(&Product, &Part, &Tensor) -> Compiled<()>) -> Compiled<Vec<Tensor>> {
    let (x, c) = (Product { add: false, ..*x }, g.array(&[x.s.m, x.s.n]));
    in_parts(g, &x, |part| run(&x, part, &c))?;
    Ok(vec![c])
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
