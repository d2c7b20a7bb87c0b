// What the expressions of the table call.

// ln(1 + e) for e in [0, 1], right to rounding where a GPU's log(1 + e) is not: 2 artanh(e / (2 + e))
fn log1p(e: f32) -> f32 {
    if (e > 0.25) { return log(1.0 + e); }
    let s = e / (2.0 + e);
    let q = s * s;
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q / 9.0))));
}

// tanh(√(2/π)(x + 0.044715 x³)); beyond ±10 some drivers' tanh is NaN
fn gelu_tanh(x: f32) -> f32 {
    return tanh(clamp(0.7978845608 * (x + 0.044715 * x * x * x), -10.0, 10.0));
}

fn gelu(x: f32) -> f32 {
    return 0.5 * x * (1.0 + gelu_tanh(x));
}

fn gelu_derivative(x: f32) -> f32 {
    let t = gelu_tanh(x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.7978845608 * (1.0 + 0.134145 * x * x);
}

// Φ(x) by its upper tail (Abramowitz & Stegun 7.1.26): off by less than 1e-7
fn normal_cdf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.2316418882 * abs(x));
    let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let tail = 0.5 * poly * exp(-0.5 * x * x);
    return select(1.0 - tail, tail, x < 0.0);
}

fn gelu_erf_derivative(x: f32) -> f32 {
    return normal_cdf(x) + x * 0.3989422804 * exp(-0.5 * x * x);
}

fn silu_derivative(x: f32) -> f32 {
    let s = 1.0 / (1.0 + exp(-x));
    return s * (1.0 + x * (1.0 - s));
}
