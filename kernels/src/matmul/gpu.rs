//! Through wgpu: the ladder of products, the one of skinny products (few rows).
use super::parts::{Part, parts};
use super::{Form, Precision, Size};
use crate::gpu::{Compiled, Gpu, Kernel, Rungs, compiled, flat_groups, log2, read, row_groups, wgsl, write};
use crate::{Tensor, pack_bf16, unpack_bf16};
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
    /// A workgroup makes so many rows and columns.
    Vec4 {
        rows: usize,
        columns: usize,
    },
    Subgroups,
    /// On matrix units; a number is one or two halves.
    Matrix {
        halves: usize,
    },
}

const fn whole(shader: Shader) -> Rung {
    Rung { shader, split: false }
}

const fn split(shader: Shader) -> Rung {
    Rung { shader, split: true }
}

const fn vec4(rows: usize, columns: usize) -> Shader {
    Vec4 { rows, columns }
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
    whole(Subgroups),
    split(Subgroups),
    whole(Matrix { halves: 2 }),
    split(Matrix { halves: 2 }),
    whole(Matrix { halves: 1 }),
    split(Matrix { halves: 1 }),
];

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.shader {
            Naive => write!(f, "naive"),
            Tile => write!(f, "tile"),
            Register { tile } => write!(f, "register {tile}"),
            Vec4 { rows, columns } => write!(f, "vec4 {rows}x{columns}"),
            Subgroups => write!(f, "subgroups"),
            Matrix { halves: 1 } => write!(f, "matrix"),
            Matrix { .. } => write!(f, "matrix in two halves"),
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
const VEC4: &[&str] = &["alias Number = vec4f;\n", COMMON, include_str!("vec4.wgsl")];
const SUBGROUPS: &[&str] = &["alias Number = f32;\n", COMMON, include_str!("subgroups.wgsl")];
const MATRIX_8: &[&str] = &[MATRIX, FOURS, SIDE_8, COMMON, FOUR, MATRIX_MAIN];
const MATRIX_16: &[&str] = &[MATRIX, FOURS, SIDE_16, COMMON, FOUR, MATRIX_MAIN];
/// Where rows do not start at multiples of four numbers.
const MATRIX_16_ODD: &[&str] = &[MATRIX, SINGLES, SIDE_16, COMMON, FOUR_SINGLES, MATRIX_MAIN];
const MATRIX_8_ODD: &[&str] = &[MATRIX, SINGLES, SIDE_8, COMMON, FOUR_SINGLES, MATRIX_MAIN];
const MATRIX: &str = include_str!("matrix.wgsl");
const MATRIX_MAIN: &str = include_str!("matrix_main.wgsl");
const FOURS: &str = "alias Number = vec4f;\n";
const SINGLES: &str = "alias Number = f32;\n";
const FOUR: &str =
    "fn a_four(i: u32) -> vec4f { return a[i / 4u]; }\nfn b_four(i: u32) -> vec4f { return b[i / 4u]; }\n";
const FOUR_SINGLES: &str = "fn a_four(i: u32) -> vec4f { return vec4f(a[i], a[i + 1u], a[i + 2u], a[i + 3u]); }\n\
                            fn b_four(i: u32) -> vec4f { return vec4f(b[i], b[i + 1u], b[i + 2u], b[i + 3u]); }\n";
const SIDE_8: &str = "alias Left = coop_mat8x8<f16, A>;\nalias Right = coop_mat8x8<f16, B>;\n\
                      alias Sums = coop_mat8x8<f32, C>;\n";
const SIDE_16: &str = "alias Left = coop_mat16x16<f16, A>;\nalias Right = coop_mat16x16<f16, B>;\n\
                       alias Sums = coop_mat16x16<f32, C>;\n";
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
    /// Does it write whole tiles only?
    whole_tiles: bool,
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
        // invocations that keep even a large GPU busy; a subgroup on matrix units does the work of several
        let fills = if self.whole_tiles { 1 << 16 } else { 1 << 17 };
        let parts = (fills / self.threads / tiles).min(k / 128).min(room).clamp(1, 32);
        k.div_ceil(parts).next_multiple_of(32)
    }
}

/// What a plan depends on beside its rung.
#[derive(Clone, Copy)]
struct Given {
    form: Form,
    /// Do all rows of the operands start at multiples of four numbers?
    fours: bool,
    /// Are operands rounded to bf16 (by rungs that multiply in f16)?
    bf16: bool,
    /// Side of the matrix units.
    side: usize,
    /// Invocations of a subgroup.
    lanes: usize,
}

fn plan(rung: Rung, given: Given) -> Plan {
    let square = |side: usize| [side; 2];
    let Given { form, fours, bf16, side, lanes } = given;
    let along = [form != Form::TN, form == Form::NT].map(usize::from);
    let (name, parts, consts, tile, threads) = match rung.shader {
        Naive => ("matmul_naive", NAIVE, vec![], square(16), 256),
        Tile => ("matmul_tile", TILE, vec![], square(16), 256),
        Register { tile } => ("matmul_register", REGISTER, vec![("TILE", tile)], square(tile), tile * tile / 16),
        Vec4 { rows, columns } => {
            let own = if rows * columns == 128 * 128 { 8 } else { 4 };
            let threads = rows * columns / (8 * own);
            // as many k a step as one block of 4 x 4 numbers an invocation gives
            let k = 16 * threads / (rows + columns) / 8 * 8;
            let sizes = [("TILE_M", rows), ("TILE_N", columns), ("COLUMNS", own), ("BK", k)];
            let forms = [("A_ALONG_K", along[0]), ("B_ALONG_K", along[1])];
            ("matmul_vec4", VEC4, sizes.into_iter().chain(forms).collect(), [rows, columns], threads)
        }
        Subgroups => {
            let tile = [16 * 64 / lanes.clamp(1, 64), 4 * lanes];
            ("matmul_subgroups", SUBGROUPS, vec![("SUB", lanes)], tile, 64)
        }
        Matrix { halves } => {
            let parts = match (side, fours) {
                (8, true) => MATRIX_8,
                (8, false) => MATRIX_8_ODD,
                (_, true) => MATRIX_16,
                (_, false) => MATRIX_16_ODD,
            };
            let (tile, k) = (4 * side, 16 * lanes / side);
            // rows of either kind, and eight numbers after each
            let image = |along: usize| 2 * if along == 1 { tile * (k + 8) } else { k * (tile + 8) };
            let bytes = halves * (image(along[0]) + image(along[1])) + 32;
            let name = if fours { "matmul_matrix" } else { "matmul_matrix_odd" };
            let sizes = [("SIDE", side), ("LANES", lanes), ("A_ALONG_K", along[0]), ("B_ALONG_K", along[1])];
            let how = [("HALVES", halves), ("DROP", if bf16 { 16 } else { 13 }), ("BUDGET", bytes)];
            (name, parts, sizes.into_iter().chain(how).collect(), square(tile), 4 * lanes)
        }
    };
    let consts = consts.into_iter().map(|(name, value): (_, usize)| (name, value as u32)).collect();
    let whole_tiles = matches!(rung.shader, Matrix { .. });
    Plan { name, parts, consts, tile, threads, split: rung.split, whole_tiles }
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
    let all = |side, lanes, fours, bf16| {
        let given = move |form| Given { form, fours, bf16, side, lanes };
        RUNGS.iter().flat_map(move |&rung| forms.map(|form| plan(rung, given(form))))
    };
    let all: Vec<_> = all(16, 32, true, false).chain(all(16, 32, false, true)).chain(all(8, 8, true, false)).collect();
    let few = FEW_RUNGS.iter().flat_map(|&rung| [few(rung, FOUR_ROWS), few(rung, SIXTEEN_ROWS)]);
    let all = all.iter().map(Plan::kernel).chain(few).chain([SUM_PARTS]);
    let mut sources: Vec<_> = all.map(|kernel| (kernel.title(), kernel.source())).collect();
    sources.sort();
    sources.dedup();
    sources
}

#[track_caller]
pub fn matmul(g: &Arc<Gpu>, p: Precision, form: Form, s: Size, [a, b]: [&Tensor; 2], bias: Option<&Tensor>) -> Tensor {
    let c = g.array(&[s.m, s.n]);
    product(g, &Product { precision: p, form, s, a, b, bias, add: false }, &c);
    c
}

#[track_caller]
pub fn matmul_add(g: &Arc<Gpu>, precision: Precision, form: Form, s: Size, [a, b]: [&Tensor; 2], c: &Tensor) {
    product(g, &Product { precision, form, s, a, b, bias: None, add: true }, c);
}

#[derive(Clone, Copy)]
struct Product<'a> {
    precision: Precision,
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
        with_rounded(x, |x| {
            let rung = choose_few(g, x);
            compiled(in_parts(g, x, |part| few_rows(g, rung, x, part, c)));
        })
    } else {
        let rung = choose(g, x);
        compiled(on(g, rung, x, c));
    }
}

/// The product on a rung: matrix units round by themselves.
#[track_caller]
fn on(g: &Arc<Gpu>, rung: Rung, x: &Product, c: &Tensor) -> Compiled<()> {
    let run = |x: &Product| in_parts(g, x, |part| tiled(g, rung, x, part, c));
    if matches!(rung.shader, Matrix { .. }) { run(x) } else { with_rounded(x, run) }
}

/// The same product of operands that are rounded before, for kernels that multiply in f32.
fn with_rounded<R>(x: &Product, run: impl Fn(&Product) -> R) -> R {
    if x.precision != Precision::Bf16 {
        return run(x);
    }
    let [a, b] = [x.a, x.b].map(|operand| unpack_bf16(&pack_bf16(operand)));
    run(&Product { a: &a, b: &b, ..*x })
}

fn in_parts(g: &Gpu, x: &Product, run: impl FnMut(&Part) -> Compiled<()>) -> Compiled<()> {
    parts(g.max_binding_words(), x.form, x.s).iter().try_for_each(run)
}

/// Rows `range` of a matrix with rows of `width`.
fn rows(x: &Tensor, range: &Range<usize>, width: usize) -> Tensor {
    x.reshape(&[x.len()]).view(range.start * width, &[range.len() * width])
}

#[track_caller]
fn tiled(g: &Arc<Gpu>, rung: Rung, x: &Product, part: &Part, c: &Tensor) -> Compiled<()> {
    let Size { m, n, k } = x.s;
    let plan = plan(rung, given(g, x));
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
    // rows and columns of what the kernel writes
    let made = if plan.whole_tiles { [tiles_m * plan.tile[0], tiles_n * plan.tile[1]] } else { [ms.len(), ns.len()] };
    let size = Size { m: ms.len(), n: ns.len(), k: ks.len() };
    let per = plan.per_part(size, g.max_binding_words() / (made[0] * made[1]).max(1));
    let z = ks.len().div_ceil(per).max(1);
    let groups = [tiles_n as u32, tiles_m as u32, z as u32];
    let sizes = |c_0: usize, c_m: usize, flags: [bool; 2]| {
        let sizes = [ms.len(), ns.len(), ks.len(), a_0, a_m, a_k, b_k, b_n, c_0, c_m, per];
        let flags = flags.map(usize::from);
        sizes.into_iter().chain(flags).chain([made[0] * c_m]).map(|x| x as u32).collect::<Vec<_>>()
    };
    // without a bias b stands in its place and is not looked at
    let bias_or = |b: &Tensor| bias.as_ref().unwrap_or(b).clone();
    // matrix units write rows that start at multiples of four numbers
    let fits = !plan.whole_tiles || made == [ms.len(), ns.len()] && n.is_multiple_of(4);
    if z == 1 && fits {
        let params = sizes(ns.start, n, [bias.is_some(), add]);
        return g.try_run(&plan.kernel(), groups, &params, &[read(&a), read(&b), read(&bias_or(&b)), write(&c)]);
    }
    let scratch = g.array(&[z, made[0], made[1]]);
    let args = [read(&a), read(&b), read(&b), write(&scratch)];
    g.try_run(&plan.kernel(), groups, &sizes(0, made[1], [false, false]), &args)?;
    let sizes = [ms.len() * ns.len(), ns.len(), z, made[0] * made[1], made[1], ns.start, n];
    let params = sizes.into_iter().chain([bias.is_some(), add].map(usize::from)).map(|x| x as u32).collect::<Vec<_>>();
    let bias = bias_or(&scratch);
    g.try_run(&SUM_PARTS, flat_groups(ms.len() * ns.len()), &params, &[read(&scratch), read(&bias), write(&c)])
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

fn given(g: &Gpu, x: &Product) -> Given {
    let (has, bf16) = (g.features(), x.precision == Precision::Bf16);
    let (side, lanes) = (has.matrix.unwrap_or(16) as usize, has.subgroup_size as usize);
    Given { form: x.form, fours: fours(x.form, x.s), bf16, side, lanes }
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
    let (form, s, given) = (x.form, x.s, given(g, x));
    let Size { m, n, k } = s;
    let fours = given.fours;
    let undivided = parts(g.max_binding_words(), form, s).len() == 1;
    // in steps of the square root of 2: which tile is best depends on how many there are
    let [m_step, n_step, k_step] = [m, n, k.max(1)].map(|size| (2.0 * (size as f64).log2()) as u32);
    let class = [form as u32 + 4 * x.precision as u32, m_step, n_step, k_step, fours as u32, undivided as u32];
    let broadcasts = (8..=64).contains(&g.features().subgroup_fixed.unwrap_or(0));
    let rounds = x.precision != Precision::F32;
    let lanes_fit = (given.side..=64).contains(&given.lanes);
    let splits = |plan: &Plan| undivided && plan.per_part(s, g.max_binding_words() / (m * n)) < k;
    let shaders = |rung: Rung| {
        let plan = plan(rung, given);
        let fits = match rung.shader {
            Subgroups => broadcasts,
            Vec4 { .. } => fours,
            Matrix { halves } => {
                let area = plan.tiles(m, n).iter().product::<usize>() * plan.tile[0] * plan.tile[1];
                lanes_fit && undivided && area <= g.max_binding_words() && (halves == 1 || !rounds)
            }
            _ => true,
        };
        let second = (plan.split || plan.whole_tiles).then_some(SUM_PARTS.shader());
        (fits && (!plan.split || splits(&plan))).then(|| [plan.kernel().shader()].into_iter().chain(second).collect())
    };
    let default = match m.div_ceil(64) * n.div_ceil(64) {
        _ if rounds && g.features().matrix.is_some() => whole(Matrix { halves: 1 }),
        _ if g.is_software() && broadcasts => whole(Subgroups),
        64.. => whole(Register { tile: 64 }),
        _ => whole(Register { tile: 32 }), // small tiles where large ones would leave most of a GPU idle
    };
    let rungs = Rungs { kernel: "matmul", class, all: RUNGS, default, rounds, shaders: &shaders };
    g.choose(&rungs, &mut |rung| trial(g, x, |x, c| on(g, rung, x, c)))
}

#[track_caller]
fn choose_few(g: &Arc<Gpu>, x: &Product) -> FewRung {
    let Size { m, n, k } = x.s;
    let rows = if m <= 4 { FOUR_ROWS } else { SIXTEEN_ROWS };
    let fits = |rung| rung == FewRung::Lanes || k.is_multiple_of(4);
    let shaders = |rung| fits(rung).then(|| vec![few(rung, rows).shader()]);
    let class = [rows[0].1, log2(n), log2(k), k.is_multiple_of(4) as u32, 0, 0];
    let default = FewRung::Vec4;
    let rungs = Rungs { kernel: "matmul_few", class, all: FEW_RUNGS, default, rounds: false, shaders: &shaders };
    let run = |x: &Product, rung, c: &Tensor| in_parts(g, x, |part| few_rows(g, rung, x, part, c));
    g.choose(&rungs, &mut |rung| trial(g, x, |x, c| run(x, rung, c)))
}

/// The product into an array of its own.
fn trial(g: &Arc<Gpu>, x: &Product, run: impl Fn(&Product, &Tensor) -> Compiled<()>) -> Compiled<Vec<Tensor>> {
    let c = g.array(&[x.s.m, x.s.n]);
    run(&Product { add: false, ..*x }, &c)?;
    Ok(vec![c])
}
