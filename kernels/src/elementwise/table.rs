//! The table: each function once in Rust (for f32 and f64) and once in WGSL.
use crate::Float;

/// Functions of one number. `p0`, `p1` are parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// −x
    Neg,
    /// eˣ
    Exp,
    /// x²
    Square,
    /// σ(x) = 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// max(x, 0)
    Relu,
    /// tanh x
    Tanh,
    /// ln x: NaN of negative numbers
    Log,
    /// ln σ(x), without overflow
    LogSigmoid,
    /// GPT-2's GELU: ½x(1 + tanh(√(2/π)(x + 0.044715x³)))
    Gelu,
    /// The GELU of its definition, x·Φ(x) with Φ the normal distribution (Hendrycks & Gimpel 2016)
    GeluErf,
    /// x·σ(x)
    Silu,
    /// p0·x
    Scale,
    /// x + p0
    Shift,
    /// min(max(x, p0), p1)
    Clamp,
}

/// Functions of two numbers. The backs take (dy, x).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a·b
    Mul,
    /// a/b
    Div,
    /// The smaller.
    Min,
    /// The larger.
    Max,
    /// dy·σ(−x)
    LogSigmoidBack,
    /// dy times the derivative of `Gelu` at x
    GeluBack,
    /// dy times the derivative of `GeluErf` at x
    GeluErfBack,
    /// dy times the derivative of `Silu` at x
    SiluBack,
    /// dy where p0 <= x <= p1
    ClampBack,
    /// 1 where a <= b
    LessEqual,
    /// dy·2x
    SquareBack,
    /// dy where x > 0
    ReluBack,
}

/// A function of one number, in Rust and in WGSL.
pub(crate) struct Row1 {
    pub name: &'static str,
    pub f32: fn(f32, [f32; 2]) -> f32,
    pub f64: fn(f64, [f64; 2]) -> f64,
    /// An expression of x, p0 and p1.
    pub wgsl: &'static str,
}

/// A function of two numbers.
pub(crate) struct Row2 {
    pub name: &'static str,
    pub f32: fn(f32, f32, [f32; 2]) -> f32,
    pub f64: fn(f64, f64, [f64; 2]) -> f64,
    /// An expression of a, b, p0 and p1.
    pub wgsl: &'static str,
}

fn one<F: Float>() -> F {
    F::of(1.0)
}

pub fn sigmoid<F: Float>(x: F) -> F {
    one::<F>() / (one::<F>() + (-x).exp())
}

/// min(x, 0) − ln(1 + e^−|x|)
pub fn log_sigmoid<F: Float>(x: F) -> F {
    x.min(F::of(0.0)) - (one::<F>() + (-x.max(-x)).exp()).ln()
}

/// √(2/π), as GPT-2 has it
const GELU_A: f64 = 0.797_884_560_802_865_4;
const GELU_B: f64 = 0.044_715;

pub fn gelu<F: Float>(x: F) -> F {
    let t = (F::of(GELU_A) * (x + F::of(GELU_B) * x * x * x)).tanh();
    F::of(0.5) * x * (one::<F>() + t)
}

pub fn gelu_derivative<F: Float>(x: F) -> F {
    let t = (F::of(GELU_A) * (x + F::of(GELU_B) * x * x * x)).tanh();
    let inner = F::of(GELU_A) * (one::<F>() + F::of(3.0 * GELU_B) * x * x);
    F::of(0.5) * (one::<F>() + t) + F::of(0.5) * x * (one::<F>() - t * t) * inner
}

/// Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …): all terms of a sign, so nothing cancels (Marsaglia 2004).
fn normal_cdf<F: Float>(x: F) -> F {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term = term * x * x / F::of((2 * n + 1) as f64);
        sum += term;
    }
    match x.to_f64() {
        x if x < -8.0 => F::of(0.0),
        x if x > 8.0 => one(),
        _ => F::of(0.5) + normal_density(x) * sum,
    }
}

/// φ(x)
fn normal_density<F: Float>(x: F) -> F {
    F::of(1.0 / std::f64::consts::TAU.sqrt()) * (F::of(-0.5) * x * x).exp()
}

pub fn gelu_erf<F: Float>(x: F) -> F {
    x * normal_cdf(x)
}

pub fn gelu_erf_derivative<F: Float>(x: F) -> F {
    normal_cdf(x) + x * normal_density(x)
}

pub fn silu<F: Float>(x: F) -> F {
    x * sigmoid(x)
}

pub fn silu_derivative<F: Float>(x: F) -> F {
    let s = sigmoid(x);
    s * (one::<F>() + x * (one::<F>() - s))
}

/// A NaN stays one.
fn relu<F: Float>(x: F) -> F {
    if x < F::of(0.0) { F::of(0.0) } else { x }
}

fn clamp_back<F: Float>(dy: F, x: F, p: [F; 2]) -> F {
    if p[0] <= x && x <= p[1] { dy } else { F::of(0.0) }
}

fn relu_back<F: Float>(dy: F, x: F) -> F {
    if x <= F::of(0.0) { F::of(0.0) } else { dy }
}

fn less_equal<F: Float>(a: F, b: F) -> F {
    F::of(if a <= b { 1.0 } else { 0.0 })
}

macro_rules! row1 {
    ($name:literal, $f:expr, $wgsl:literal) => {
        Row1 { name: $name, f32: $f, f64: $f, wgsl: $wgsl }
    };
}
macro_rules! row2 {
    ($name:literal, $f:expr, $wgsl:literal) => {
        Row2 { name: $name, f32: $f, f64: $f, wgsl: $wgsl }
    };
}

impl Unary {
    /// All of them.
    pub const ALL: [Unary; 14] = [
        Unary::Neg,
        Unary::Exp,
        Unary::Square,
        Unary::Sigmoid,
        Unary::Relu,
        Unary::Tanh,
        Unary::Log,
        Unary::LogSigmoid,
        Unary::Gelu,
        Unary::GeluErf,
        Unary::Silu,
        Unary::Scale,
        Unary::Shift,
        Unary::Clamp,
    ];

    /// What shaders and benches call it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub(crate) fn row(self) -> Row1 {
        match self {
            Unary::Neg => row1!("neg", |x, _| -x, "-x"),
            Unary::Exp => row1!("exp", |x, _| x.exp(), "exp(x)"),
            Unary::Square => row1!("square", |x, _| x * x, "x * x"),
            Unary::Sigmoid => row1!("sigmoid", |x, _| sigmoid(x), "1.0 / (1.0 + exp(-x))"),
            Unary::Relu => row1!("relu", |x, _| relu(x), "select(x, 0.0, x < 0.0)"),
            Unary::Tanh => row1!("tanh", |x, _| x.tanh(), "tanh(clamp(x, -10.0, 10.0))"),
            Unary::Log => row1!("log", |x, _| x.ln(), "log(x)"),
            Unary::LogSigmoid => {
                row1!("log_sigmoid", |x, _| log_sigmoid(x), "min(x, 0.0) - log1p(exp(-abs(x)))")
            }
            Unary::Gelu => row1!("gelu", |x, _| gelu(x), "gelu(x)"),
            Unary::GeluErf => row1!("gelu_erf", |x, _| gelu_erf(x), "x * normal_cdf(x)"),
            Unary::Silu => row1!("silu", |x, _| silu(x), "x / (1.0 + exp(-x))"),
            Unary::Scale => row1!("scale", |x, p| p[0] * x, "p0 * x"),
            Unary::Shift => row1!("shift", |x, p| x + p[0], "x + p0"),
            Unary::Clamp => row1!("clamp", |x, p| x.max(p[0]).min(p[1]), "min(max(x, p0), p1)"),
        }
    }
}

impl Binary {
    /// All of them.
    pub const ALL: [Binary; 14] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Min,
        Binary::Max,
        Binary::LogSigmoidBack,
        Binary::GeluBack,
        Binary::GeluErfBack,
        Binary::SiluBack,
        Binary::ClampBack,
        Binary::LessEqual,
        Binary::SquareBack,
        Binary::ReluBack,
    ];

    /// What shaders and benches call it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub(crate) fn row(self) -> Row2 {
        match self {
            Binary::Add => row2!("add", |a, b, _| a + b, "a + b"),
            Binary::Sub => row2!("sub", |a, b, _| a - b, "a - b"),
            Binary::Mul => row2!("mul", |a, b, _| a * b, "a * b"),
            Binary::Div => row2!("div", |a, b, _| a / b, "a / b"),
            Binary::Min => row2!("min", |a, b, _| a.min(b), "min(a, b)"),
            Binary::Max => row2!("max", |a, b, _| a.max(b), "max(a, b)"),
            Binary::LogSigmoidBack => {
                row2!("log_sigmoid_back", |dy, x, _| dy * sigmoid(-x), "a / (1.0 + exp(b))")
            }
            Binary::GeluBack => row2!("gelu_back", |dy, x, _| dy * gelu_derivative(x), "a * gelu_derivative(b)"),
            Binary::GeluErfBack => {
                row2!("gelu_erf_back", |dy, x, _| dy * gelu_erf_derivative(x), "a * gelu_erf_derivative(b)")
            }
            Binary::SiluBack => row2!("silu_back", |dy, x, _| dy * silu_derivative(x), "a * silu_derivative(b)"),
            Binary::ClampBack => row2!("clamp_back", clamp_back, "select(0.0, a, p0 <= b && b <= p1)"),
            Binary::LessEqual => row2!("less_equal", |a, b, _| less_equal(a, b), "select(0.0, 1.0, a <= b)"),
            Binary::SquareBack => row2!("square_back", |dy, x, _| (dy + dy) * x, "2.0 * a * b"),
            Binary::ReluBack => row2!("relu_back", |dy, x, _| relu_back(dy, x), "select(a, 0.0, b <= 0.0)"),
        }
    }
}
