// m and v follow the gradient; p -= lr (m̂ / (√v̂ + eps) + weight_decay p), decay for i < decayed only.
// Rung 1, the base: one number an invocation.
struct Params {
    n: u32, decayed: u32, lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32,
    correction1: f32, correction2: f32, grad_scale: f32,
}
@group(0) @binding(0) var<uniform> s: Params;
@group(0) @binding(1) var<storage, read_write> p: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= s.n) { return; }
    let grad = g[i] * s.grad_scale;
    let first = s.beta1 * m[i] + (1.0 - s.beta1) * grad;
    let second = s.beta2 * v[i] + (1.0 - s.beta2) * grad * grad;
    m[i] = first;
    v[i] = second;
    let step = (first / s.correction1) / (sqrt(second / s.correction2) + s.eps);
    let decay = select(0.0, s.weight_decay * p[i], i < s.decayed);
    p[i] -= s.lr * (step + decay);
}
